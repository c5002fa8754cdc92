"""Locks of folders: two processes that write the same run or the same results would corrupt them.

The lock is a POSIX record lock on a file beside the folder. The system frees it when its process ends, even if it is
killed. Forked loader processes do not inherit it. They do inherit the `flock` that the package filelock takes; with
it, a killed run would stay locked until its loader processes end. Network file systems that support locks pass record
locks to the other nodes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from spot.runtime.errors import SpotError
from spot.runtime.ranks import is_first_process

log = logging.getLogger(__name__)

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held: set[Path] = set()


def lock_file(folder: Path) -> Path:
    """Return the lock file of a folder. It is beside the folder, so the folder itself need not exist."""
    return folder.with_name(f".{folder.name}.lock")


@contextlib.contextmanager
def locked(folder: str | Path, what: str) -> Iterator[None]:
    """Hold a folder's lock. In a distributed command, the first process holds it for all.

    A lock that this process holds already is not taken again.

    Args:
        folder: what is written; it need not exist.
        what: for the message: `run smoke`, `the results in outputs/results/...`.

    Raises:
        SpotError: another process holds it. The message names that process, its machine and its start time.
    """
    folder = Path(folder).resolve()
    if folder in _held or not is_first_process():
        yield
        return
    file = lock_file(folder)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(file, what)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise SpotError(
                f"{file}: cannot be locked ({error.strerror}); correct the folder or its permissions"
            ) from None
        log.warning("%s: this file system has no locks; start nothing else on %s meanwhile", file, what)
        yield
        return
    _held.add(folder)
    try:
        yield
    finally:
        _held.discard(folder)
        with contextlib.suppress(OSError):  # the folder may be gone
            file.unlink()
        os.close(descriptor)


def _acquire(file: Path, what: str) -> int:
    """Lock the file, write its owner into it and return the descriptor that holds the lock."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 1000).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise SpotError(
                f"{what} is in use by {owner or 'another process'}; wait for it, stop it, or choose another name"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                os.ftruncate(descriptor, 0)
                note = f"process {os.getpid()} on {socket.gethostname()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}"
                os.pwrite(descriptor, note.encode(), 0)
                return descriptor
        os.close(descriptor)  # the holder before has removed the file meanwhile: lock the new one
