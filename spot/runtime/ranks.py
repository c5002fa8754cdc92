"""Tell the first process of a distributed command from the others, before any library has been loaded."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Return whether this is the process that writes, from the variables that Lightning, torchrun and SLURM set."""
    for names in (("RANK",), ("LOCAL_RANK", "NODE_RANK"), ("SLURM_PROCID",)):
        if names[0] in os.environ:
            return all(int(os.environ.get(name, 0)) == 0 for name in names)
    return True
