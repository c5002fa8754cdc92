"""Memory of networks on a CPU."""

from __future__ import annotations

import ctypes
import platform

# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Let the C library hand freed blocks out again instead of giving them back to the system.

    glibc maps every block above 32 MB by itself, and unmaps it when it is freed: each step would have the system clear
    gigabytes of pages for the same attention maps and activations, which takes up to a third of TransT's step. The
    process stays as large as its largest steps. Where the C library is not glibc, nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, -1)
