"""Files and folders that appear whole or not at all, whenever the process that writes them dies or the machine goes down.

What is written lies beside its target as `.<name>.<8 digits>.partial` until it is on the disk; then it is renamed. A
killed process leaves such a file behind; `remove_partial` clears it away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from spot.runtime.errors import SpotError


@contextlib.contextmanager
def replacing(target: str | Path, remedy: str = "name another place, or free space") -> Iterator[Path]:
    """Yield a temporary name to write to; on leaving, the file takes its own name and replaces an older one.

    A reader finds the old content or the new. Several processes may write the same file: the last one's stays.

    Args:
        target: missing folders are made.
        remedy: what the user can do if it cannot be written.

    Raises:
        SpotError: it cannot be written; an older file is as it was.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial:
            yield partial
    except OSError as error:
        raise SpotError(f"{target}: cannot be written ({error.strerror or error}); {remedy}") from None


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """As `replacing`, for callers that handle the OSError themselves. The folder must exist."""
    partial = partial_name(target)
    try:
        yield partial
        sync(partial)
        os.replace(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    sync(target.parent)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; on leaving, it takes its own name.

    Raises:
        OSError: it cannot be written, or `target` exists and is not empty; nothing is left behind.
    """
    partial = partial_name(target)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in partial.iterdir():
            sync(file)
        sync(partial)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(target.parent)


def partial_name(target: Path) -> Path:
    """Return a name beside `target`, unique to this write."""
    return target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")


def remove_partial(*folders: Path, seconds: float = 0) -> None:
    """Remove what killed processes left half written in these folders.

    Args:
        folders: where nobody else is writing, or only for less than `seconds`.
        seconds: younger files and folders stay.
    """
    latest = time.time() - seconds
    for folder in folders:
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.name.endswith(".partial") and entry.lstat().st_mtime <= latest:
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        entry.unlink()


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, so that they survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
