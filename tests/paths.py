"""Where tests find shared data: one environment variable, and a marker that says why a test was skipped."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SPOT_SHARED", ROOT.parent / "shared")).resolve()
GOLDEN = SHARED / "golden"
PARITY_DATA = Path(__file__).parent / "parity" / "data"

requires_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"shared data not found at {SHARED}; set SPOT_SHARED to its folder"
)
