"""Scripts are imported as they import each other: by name, from their folder."""

import sys

import pytest

from tests.paths import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module", autouse=True)
def scripts_can_be_imported():
    sys.path.insert(0, str(SCRIPTS))
    yield
    sys.path.remove(str(SCRIPTS))
