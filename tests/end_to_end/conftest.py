"""One smoke run for all tests, and folders that start from its videos and labels."""

import pytest

from tests.end_to_end.runs import SMOKE, ok


@pytest.fixture(scope="session")
def outputs(tmp_path_factory):
    """Outputs of one uninterrupted smoke run by one process. Tests leave them as they are."""
    folder = tmp_path_factory.mktemp("outputs")
    ok("train", *SMOKE, outputs=folder)
    return folder


@pytest.fixture
def elsewhere(outputs, tmp_path):
    """A fresh outputs folder that shares the rendered videos and labels."""
    for name in ("synthetic", "labels"):
        (tmp_path / name).symlink_to(outputs / name)
    return tmp_path
