"""A few kills at random moments; `make stress` does hundreds."""

import json
import subprocess
import sys

from tests.end_to_end.runs import TIMEOUT
from tests.paths import ROOT


def test_killed_anywhere_ends_where_the_uninterrupted_run_ends(tmp_path):
    """TransT and an Ocean that thaws, through burn-in's end and snapshots, in turns at any time and while a file is written."""
    script = [
        sys.executable,
        "scripts/stress_resume.py",
        "--kills",
        "8",
        "--kills-of-a-run",
        "4",
        "--json",
        tmp_path / "figures.json",
    ]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["kills"] >= 8
    assert figures["identical"] == figures["runs"] >= 2
