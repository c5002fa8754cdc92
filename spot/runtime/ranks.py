"""Which of the processes of one distributed command this is, before any library has been loaded."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this process is the one that writes, by what Lightning, torchrun and SLURM set in the environment."""
    for names in (("RANK",), ("LOCAL_RANK", "NODE_RANK"), ("SLURM_PROCID",)):
        if names[0] in os.environ:
            return all(int(os.environ.get(name, 0)) == 0 for name in names)
    return True
