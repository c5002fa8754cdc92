"""Freed memory is used again on a CPU: the system clears its pages once."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from spot.architectures.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(64 * 2**18)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks of glibc")
def test_pages_of_a_freed_block_are_not_faulted_in_again():
    def later(way: str) -> int:
        return int(
            subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True).stdout
        )

    assert 10 * later("keep") < later("leave")
