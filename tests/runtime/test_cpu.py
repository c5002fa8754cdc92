"""Threads and loader processes fit the cores together; threads wait passively."""

import os
import subprocess
import sys

import pytest
import torch

from spot.runtime import cpu
from tests.paths import ROOT


@pytest.mark.parametrize(
    ("cores", "processes", "workers", "threads"), [(1, 1, 1, 1), (2, 1, 1, 1), (8, 1, 3, 5), (8, 2, 1, 3), (4, 8, 0, 1)]
)
def test_threads_and_loader_processes_fit_the_cores(monkeypatch, cores, processes, workers, threads):
    monkeypatch.setattr(cpu, "count_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with cpu.fitting_threads(workers, processes):
        assert torch.get_num_threads() == threads
        assert os.environ["OMP_NUM_THREADS"] == str(threads)  # for processes that this one starts
    assert torch.get_num_threads() == before
    assert "OMP_NUM_THREADS" not in os.environ
    assert cpu.default_workers() == min(8, max(1, cores - 1))


def test_what_the_user_sets_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = torch.get_num_threads()
    with cpu.fitting_threads(1):
        assert torch.get_num_threads() == before
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_cores_are_counted_where_there_is_no_affinity_mask(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cpu.count_cores() == os.cpu_count()


def test_commands_let_threads_wait_passively():
    """Set before torch is loaded, which reads it once."""
    code = (
        "import os, sys\n"
        "from spot.runtime.command import command\n"
        "main = command('check')(lambda cfg: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules))\n"
        "main()\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in cpu.PASSIVE}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["PASSIVE", "False"]
