"""Tell the first process of a distributed command from the others, before any library has been loaded."""

from __future__ import annotations

import os

from spot.runtime.errors import SpotError


def is_first_process() -> bool:
    """Return whether this is the process that writes, from the variables that torchrun, Lightning and SLURM set.

    A rank counts only beside the number of processes, as Lightning and torchrun set both: a `RANK` that an earlier
    program left in the environment means nothing.

    Raises:
        SpotError: a rank is no number.
    """
    several = "WORLD_SIZE" in os.environ
    if several and "RANK" in os.environ:
        return _rank("RANK") == 0
    if several and "LOCAL_RANK" in os.environ:
        return _rank("LOCAL_RANK") == _rank("NODE_RANK") == 0
    if "NODE_RANK" in os.environ:  # on each node Lightning starts the other processes
        return _rank("NODE_RANK") == 0
    return _rank("SLURM_PROCID") == 0


def _rank(name: str) -> int:
    value = os.environ.get(name, "0")
    if not value.isdecimal():
        raise SpotError(f"the environment variable {name}={value} is no rank; unset it")
    return int(value)
