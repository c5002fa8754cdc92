"""Write files and folders atomically: they appear completely or not at all, even if the process or machine stops.

The content is first written to `.<name>.<8 digits>.partial` beside the target, flushed to the disk and then renamed. A
killed process leaves such a file behind. `remove_partial` removes it.
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
    """Yield a temporary name to write to. At the end, rename the file to `target`, in place of an older one.

    A reader finds the old content or the new. Several processes may write the same file: the last one wins.

    Args:
        target: missing folders are made.
        remedy: what the user can do if it cannot be written.

    Raises:
        SpotError: it cannot be written; an older file is unchanged.
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
    """Do the same as `replacing` for callers that handle the OSError themselves. The folder must exist."""
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
    """Yield a temporary folder to fill. At the end, rename it to `target`.

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
    """Remove the half-written files that killed processes left in these folders.

    Args:
        folders: no other process may be writing there for longer than `seconds`.
        seconds: younger files and folders are kept.
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
    """Flush a file, or the names in a folder, to the disk, so that they survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
