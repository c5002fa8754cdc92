"""Folders and archives, seen alike: names in them, their content, and when they last changed.

A place inside an archive is written `/data/airplane.zip!/airplane-1/img`, as in
`spot.data.images.read_bytes`.
"""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np

from spot.data.archives import list_members
from spot.data.images import read_bytes
from spot.data.video import Frames
from spot.errors import SpotError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MISSING = (-1, -1)


def need_root(root: str | None, key: str, variable: str) -> str:
    """The folder of a data set, without a slash at the end.

    Raises:
        SpotError: it is not set or does not exist; names the option and the environment variable.
    """
    if not root:
        raise SpotError(
            f"paths.{key} is not set; give paths.{key}=/folder or set {variable} "
            "(data=synthetic and `make demo` need none)"
        )
    root = os.path.expanduser(str(root)).rstrip("/") or "/"
    if not os.path.isdir(root):
        raise SpotError(f"{root} is no folder; correct paths.{key} or {variable}")
    return root


def exists(path: str) -> bool:
    """Whether a file or folder is there, in an archive too."""
    archive, separator, inside = path.partition("!/")
    if not separator:
        return os.path.exists(path)
    parent, _, name = inside.rpartition("/")
    return os.path.exists(archive) and name in _tree(archive, stamp(archive)).get(parent, ())


def names_in(folder: str) -> list[str]:
    """Sorted names of the files and folders in a folder. Raises SpotError where there is no such folder."""
    archive, separator, inside = folder.partition("!")
    if separator:
        entries = _tree(archive, stamp(archive)).get(inside.strip("/"))
        if entries is None:
            raise SpotError(
                f"{archive} has no folder {inside.strip('/')}; check the path or restore the archive"
            )
        return sorted(entries)
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise SpotError(f"{folder}: {error.strerror}; check the path") from None


def read_optional(path: str) -> bytes | None:
    """Content of a file, None where there is none. Raises SpotError where it is there and cannot be read."""
    return read_bytes(path) if exists(path) else None


def stamp(path: str) -> tuple[int, int]:
    """Size in bytes and time of last change in ns, of the archive for a place inside one; `MISSING` where
    there is none.
    """
    try:
        status = os.stat(path.partition("!/")[0])
    except OSError:
        return MISSING
    return status.st_size, status.st_mtime_ns


def list_frames(folder: str) -> Frames:
    """The images of a folder in the order of their names. Raises SpotError where there are none."""
    names = [n for n in names_in(folder) if n.lower().endswith(IMAGES) and not n.startswith(".")]
    if not names:
        raise SpotError(f"{folder}: no images in it; expected {', '.join(IMAGES)}")
    stem, suffix = os.path.splitext(names[0])
    if stem.isdecimal() and stem.isascii():
        pattern, first = f"{{:0{len(stem)}d}}{suffix}", int(stem)
        if all(name == pattern.format(first + i) for i, name in enumerate(names)):
            return Frames(folder, len(names), pattern, first)
    return Frames(folder, len(names), names=np.array(names))


@lru_cache(maxsize=4)
def _tree(archive: str, stamped: tuple[int, int]) -> dict[str, set[str]]:
    """Folder -> names in it, for all folders of an archive; `stamped` renews the memory of a changed file."""
    tree: dict[str, set[str]] = {"": set()}
    for path in list_members(archive):
        while path:
            parent, _, name = path.rpartition("/")
            known = parent in tree
            tree.setdefault(parent, set()).add(name)
            if known:
                break
            path = parent
    return tree
