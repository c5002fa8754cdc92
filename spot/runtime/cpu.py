"""How this process uses the CPU's cores: threads and helper processes that fit them together, and that wait passively."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

THREADS = "OMP_NUM_THREADS"
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def wait_passively() -> None:
    """Let OpenMP threads sleep, not spin, while they wait for each other. Call it before torch is loaded.

    A spinning thread uses up the turn of the thread that it waits for wherever other programs want the cores too.
    Settings that the user has made stay.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)


def count_cores() -> int:
    """Cores that this process may use: those of its affinity mask, where the system has one (macOS has none)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Loader processes of a run: one a core, but one core for the main process; from 1 to 8."""
    return min(8, max(1, count_cores() - 1))


@contextlib.contextmanager
def fitting_threads(workers: int, processes: int = 1) -> Iterator[None]:
    """Let PyTorch use the cores that loader processes leave, for as long as this lasts.

    More threads than cores are slow on a quiet machine and wait for each other for ever on a busy one. OMP_NUM_THREADS
    decides where the user has set it.

    Args:
        workers: loader processes of each process.
        processes: processes of this run on this machine.
    """
    import torch

    before, given = torch.get_num_threads(), os.environ.get(THREADS)
    threads = max(1, count_cores() // processes - workers)
    os.environ.setdefault(THREADS, str(threads))  # for the processes that Lightning starts
    if given is None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if given is None:
            os.environ.pop(THREADS, None)
