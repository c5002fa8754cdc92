"""Look into folders and archives in the same way: list their content, and find out whether it has changed.

A path inside an archive is written `/data/airplane.zip!/airplane-1/img`, as in `spot.data.images.read_bytes`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from spot.data.archives import list_members
from spot.data.images import SUFFIXES as IMAGES
from spot.data.images import read_bytes
from spot.data.video import Frames
from spot.runtime.errors import SpotError

ARCHIVES = (".zip", ".tar")
Stamp = tuple[int, ...]
MISSING: Stamp = (-1,)
SMALL = 1 << 20  # bytes; no annotation of one video is larger
_DIGITS = re.compile(r"([0-9]+)")
_PLACE = re.compile(r"(.*\.(?:zip|tar))!(?:/(.*))?", re.DOTALL)


def need_root(root: str | None, key: str, variable: str) -> str:
    """Return the folder of a data set, without a slash at the end.

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
        raise SpotError(f"{root} is not a folder; correct paths.{key} or {variable}")
    return root


def exists(path: str) -> bool:
    """Return whether a file or folder exists, also inside an archive."""
    archive, inside = _split(path)
    if archive is None:
        return os.path.exists(path)
    if not os.path.exists(archive):
        return False
    parent, _, name = inside.rpartition("/")
    return not inside or name in _folders(archive).get(parent, ())


def names_in(folder: str) -> list[str]:
    """Return sorted names of the files and folders in a folder, without clutter (`is_clutter`).

    Raises:
        SpotError: there is no such folder.
    """
    archive, inside = _split(folder)
    if archive is not None:
        if (entries := _folders(archive).get(inside)) is None:
            raise SpotError(f"{archive} has no folder {inside}; check the path or restore the archive")
        return sorted(name for name in entries if not is_clutter(name))
    try:
        return sorted(name for name in os.listdir(folder) if not is_clutter(name))
    except OSError as error:
        raise SpotError(f"{folder}: {error.strerror}; check the path") from None


def read_optional(path: str) -> bytes | None:
    """Return the content of a file, None where there is none. Raise SpotError if it cannot be read."""
    return read_bytes(path) if exists(path) else None


def stamp(path: str) -> Stamp:
    """Return size, times of last change of content and of status in ns, inode, and a digest of some small files.

    Programs can set the first two of a file that they replace, but not the time of the status. Some file systems
    (exFAT, network shares) have no time of the status and give that of the content instead. Where the two are equal, the
    content of a small file is read too. `MISSING` where there is no such path. For a path inside an archive, the stamp
    of the archive is returned.
    """
    place = _split(path)[0] or path
    try:
        status = os.stat(place)
        times = status.st_mtime_ns, status.st_ctime_ns
        small = stat.S_ISREG(status.st_mode) and status.st_size <= SMALL
        digest = _digest(place) if small and times[0] == times[1] else 0
    except OSError:
        return MISSING
    return status.st_size, *times, status.st_ino, digest


def _digest(file: str) -> int:
    with open(file, "rb", buffering=0) as opened:
        return int.from_bytes(blake2b(opened.read(SMALL), digest_size=8).digest(), "little")


def locate(root: str, path: str) -> str:
    """Find the folder `path` under `root`, unpacked or in an archive.

    The archive may have any name and contain the folder at any depth. If the folder is not found, return its path as
    if it were unpacked.
    """
    place = f"{root}/{path}"
    if os.path.isdir(place):
        return place
    *parents, name = path.split("/")
    for depth in range(len(parents) + 1):
        folder = "/".join([root, *parents[:depth]])
        if name in (packed := packed_folders(folder)):
            return packed[name]
    return place


def packed_folders(folder: str) -> dict[str, str]:
    """Return name -> path of all folders inside the archives of a folder."""
    return _packed(folder, stamp(folder))


def list_frames(folder: str) -> Frames:
    """Return the images of a folder in the natural order of their names. Raise SpotError if there are none."""
    names = [n for n in names_in(folder) if n.lower().endswith(IMAGES)]
    if not names:
        raise SpotError(f"{folder}: no images in it; expected {', '.join(IMAGES)}")
    return name_frames(folder, sorted(names, key=natural_key))


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that compares numbers in names by value: frame2 before frame10.

    >>> sorted(["f10.jpg", "f9.jpg", "f010.jpg"], key=natural_key)
    ['f9.jpg', 'f010.jpg', 'f10.jpg']
    """
    parts = _DIGITS.split(name)
    # text and digits alternate; names that differ only in leading zeros are compared as text at the end
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)] + [(0, name)]


def is_clutter(name: str) -> bool:
    """Return whether a file or folder belongs to the system and not to the data: `._x`, `.DS_Store`, `__MACOSX`."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def name_frames(folder: str, names: Sequence[str]) -> Frames:
    """Return frames of these names in this order, as a pattern if they follow one."""
    stem, suffix = os.path.splitext(names[0])
    if stem.isdecimal() and stem.isascii():
        pattern, first = f"{{:0{len(stem)}d}}{suffix}", int(stem)
        if all(name == pattern.format(first + i) for i, name in enumerate(names)):
            return Frames(folder, len(names), pattern, first)
    return Frames(folder, len(names), names=np.array(names))


def _split(path: str) -> tuple[str | None, str]:
    """Split a path into the archive and the path inside it; None and the path itself for a plain path."""
    match = _PLACE.fullmatch(path)
    return (match[1], (match[2] or "").strip("/")) if match else (None, path)


def _folders(archive: str) -> dict[str, set[str]]:
    return _tree(archive, stamp(archive))


@lru_cache(maxsize=8)
def _tree(archive: str, stamped: Stamp) -> dict[str, set[str]]:
    """Return folder -> names in it for all folders of an archive; `stamped` is part of the cache's key."""
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


@lru_cache(maxsize=128)
def _packed(folder: str, stamped: Stamp) -> dict[str, str]:
    places: dict[str, str] = {}
    for file in names_in(folder) if os.path.isdir(folder) else ():
        if file.endswith(ARCHIVES):
            archive = f"{folder}/{file}"
            for inside in _folders(archive):
                if not inside or any(is_clutter(part) for part in inside.split("/")):
                    continue
                places.setdefault(inside.rpartition("/")[2], f"{archive}!/{inside}")
            places.setdefault(os.path.splitext(file)[0], f"{archive}!")
    return places
