"""Scripts are imported as they import each other: by name, from their folder."""

import sys

import pytest

from tests.paths import ROOT

FOLDERS = [str(ROOT / "scripts" / name) for name in ("bench", "study")]


@pytest.fixture(scope="module", autouse=True)
def scripts_can_be_imported():
    sys.path[:0] = FOLDERS
    yield
    for folder in FOLDERS:
        sys.path.remove(folder)
