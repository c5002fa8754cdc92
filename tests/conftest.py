"""Shared by all tests: small synthetic videos, and one thread, so that numbers do not depend on the machine's load."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from spot.data.video import VideoSet


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> VideoSet:
    """Six rendered training videos of 16 frames, 160 x 120."""
    from spot.data.datasets import synthetic

    return synthetic.load(tmp_path_factory.mktemp("synthetic"), "train", videos=6, frames=16, size=(160, 120))
