"""How this process uses the CPU's cores: threads and helper processes that fit them together, and that wait passively."""

from __future__ import annotations

import os

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


def count_threads(workers: int, processes: int = 1) -> int:
    """Threads for the operations of each of `processes` processes on this machine with `workers` loader processes each.

    >>> count_threads(workers=count_cores())
    1
    """
    return max(1, count_cores() // processes - workers)
