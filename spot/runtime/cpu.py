"""Choose numbers of threads and loader processes that fit the CPU's cores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

THREADS = "OMP_NUM_THREADS"
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def wait_passively() -> None:
    """Let OpenMP threads sleep instead of spin while they wait for each other. Call this before torch is loaded.

    Where other programs need the cores too, a spinning thread delays the thread that it waits for. Settings of the
    user are kept.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)


def count_cores() -> int:
    """Return the number of cores that this process may use: its affinity mask where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Return the number of loader processes of a run: cores minus one for the main process, from 1 to 8."""
    return min(8, max(1, count_cores() - 1))


@contextlib.contextmanager
def fitting_threads(workers: int, processes: int = 1) -> Iterator[None]:
    """Within this context, let PyTorch use the cores that the loader processes leave.

    More threads than cores are slow, above all on a busy machine. If the user has set OMP_NUM_THREADS, that number
    is used.

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
