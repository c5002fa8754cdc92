"""The map over forked processes."""

import os
import sys

import numpy as np
import pytest

from spot.evaluation.parallel import fork_map
from spot.runtime.errors import SpotError


@pytest.fixture(autouse=True)
def without_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.parametrize("workers", [1, 2, 3, 10])
def test_results_keep_their_order(workers):
    table = np.arange(7) ** 2
    assert fork_map(lambda i: int(table[i]), range(7), workers) == table.tolist()


def test_work_is_done_elsewhere():
    assert os.getpid() not in fork_map(lambda _: os.getpid(), range(4), 2)


def test_torch_keeps_the_work_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    assert set(fork_map(lambda _: os.getpid(), range(4), 2)) == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_is_raised_here(workers):
    def work(i):
        if i >= 2:
            raise SpotError(f"item {i} is bad")
        return i

    with pytest.raises(SpotError, match="item 2 is bad"):
        fork_map(work, range(5), workers)


def test_a_killed_process_is_noticed():
    with pytest.raises(RuntimeError, match="was killed"):
        fork_map(lambda i: os._exit(9) if i == 1 else i, range(2), 2)


def test_nothing_to_do():
    assert fork_map(lambda i: i, [], 2) == []
