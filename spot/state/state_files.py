"""Files of arrays: written atomically, opened by memory map, checked before use.

A file is a magic word, the digest of its header, the header (JSON) and the arrays, each at a multiple of 64 bytes:

    8 bytes "SPOTSTAT" | 16 bytes BLAKE2b of the header | 8 bytes header size | header | arrays

The header lists type, shape, offset and CRC-32 of each array, so its digest identifies the whole content.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from spot.runtime.atomic_files import sync, whole_file
from spot.runtime.errors import SpotError

FORMAT = 1
_MAGIC = b"SPOTSTAT"
_PREFIX = len(_MAGIC) + 16 + 8
_ALIGN = 64


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """An opened file: read-only views of its arrays, and the header with the fields that its writer added."""

    path: Path
    digest: str
    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def verify(self) -> None:
        """Read everything. Raise SpotError if an array differs from its checksum."""
        for name, array in self.arrays.items():
            if checksum(array) != self.header["arrays"][name]["crc32"]:
                raise SpotError(f"{self.path}: '{name}' is damaged (checksum differs); restore the file or roll back")


def checksum(array: np.ndarray, start: int = 0) -> int:
    """Return the CRC-32 of the bytes of a contiguous array, continued from `start`."""
    return zlib.crc32(_bytes(array), start)


def write_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file atomically.

    Raises:
        OSError: it cannot be written; an older file is unchanged, and no partial file is left.
    """
    specs: dict[str, Any] = {}
    size = 0
    for name, array in arrays.items():
        specs[name] = {"dtype": array.dtype.str, "shape": array.shape, "start": size, "crc32": checksum(array)}
        size = _aligned(size + array.nbytes)
    text = json.dumps({"format": FORMAT, **header, "arrays": specs, "size": size}).encode()
    digest = blake2b(text, digest_size=16).digest()
    base = _aligned(_PREFIX + len(text))
    with whole_file(path) as partial, _opened(partial) as file:
        _write(file, _MAGIC + digest + len(text).to_bytes(8, "little") + text, 0)
        for name, array in arrays.items():
            _write(file, array, base + specs[name]["start"])
        os.ftruncate(file, base + size)


def read_arrays(path: Path, kind: str) -> ArrayFile:
    """Open a file by memory map. The time does not depend on its size.

    Raises:
        SpotError: the file is absent, foreign, of another `kind` or format, truncated, or its header is damaged.
    """
    try:
        with open(path, "rb") as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise SpotError(f"{path}: no such file; is this the folder of a sampler state?") from None
    except (OSError, ValueError) as error:  # mmap refuses an empty file with a ValueError
        raise SpotError(f"{path}: cannot be opened as a sampler state ({error}); restore it") from None
    if view[: len(_MAGIC)] != _MAGIC:
        raise SpotError(f"{path}: not a file of a sampler state; name another, or remove it")
    text = view[_PREFIX : _PREFIX + int.from_bytes(view[_PREFIX - 8 : _PREFIX], "little")]
    digest = blake2b(text, digest_size=16)
    if digest.digest() != view[len(_MAGIC) : _PREFIX - 8]:
        raise SpotError(f"{path}: the header is truncated or damaged; restore the file, or remove it to fall back")
    header = json.loads(text)
    if (header["kind"], header["format"]) != (kind, FORMAT):
        found = f"{header['kind']} of format {header['format']}"
        raise SpotError(f"{path}: holds {found}, not {kind} of format {FORMAT}; use the version that wrote it")
    base = _aligned(_PREFIX + len(text))
    if len(view) != base + header["size"]:
        sizes = f"{len(view):,} of {base + header['size']:,} bytes"
        raise SpotError(f"{path}: truncated ({sizes}); restore it, or remove it to fall back")
    arrays = {
        name: np.ndarray(spec["shape"], spec["dtype"], buffer=view, offset=base + spec["start"])
        for name, spec in header["arrays"].items()
    }
    return ArrayFile(path, digest.hexdigest(), header, arrays)


def append_rows(path: Path, rows: np.ndarray, at: int) -> None:
    """Write `rows` (m, columns) after the first `at` rows of a file without a header; later rows are replaced.

    Raises:
        OSError: some of the new rows may have been written.
    """
    start = at * rows.shape[1] * rows.itemsize
    with _opened(path) as file:
        os.ftruncate(file, start)
        _write(file, rows, start)
        os.fsync(file)
    if not at:
        sync(path.parent)


def map_rows(path: Path, count: int, columns: int) -> np.ndarray:
    """Map the first `count` rows (count, columns) float32 of a file without a header into memory.

    Raises:
        SpotError: the file is absent or has fewer rows.
    """
    size = count * columns * 4
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < size:
                raise SpotError(f"{path}: truncated (less than {size:,} bytes); restore it or roll back")
            view = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SpotError(f"{path}: cannot be opened ({error.strerror}); restore it or roll back") from None
    return np.ndarray((count, columns), np.float32, buffer=view)


def _aligned(place: int) -> int:
    return -(-place // _ALIGN) * _ALIGN


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def _write(file: int, data: bytes | np.ndarray, place: int) -> None:
    """Write all of `data` at offset `place`; the system may need several calls."""
    left = _bytes(data) if isinstance(data, np.ndarray) else memoryview(data)
    while left:
        done = os.pwrite(file, left, place)
        left, place = left[done:], place + done
