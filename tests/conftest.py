"""Shared by all tests: small synthetic videos, and one thread, so that numbers do not depend on the machine's load."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from spot.data.video import VideoSet


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> VideoSet:
    """Six rendered training videos of 16 frames, 160 x 120."""
    from spot.data.datasets import synthetic

    return synthetic.load(tmp_path_factory.mktemp("synthetic"), "train", videos=6, frames=16, size=(160, 120))


@pytest.fixture(autouse=True)
def no_handler_of_ended_processes():
    """Take back the handler of SIGCHLD that a DataLoader with loader processes leaves in this process.

    A handler runs on the signal stack that other libraries set up. On processors with AMX that stack can be too small,
    and the next process that ends would end this one.
    """
    yield
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
