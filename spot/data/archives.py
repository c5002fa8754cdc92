"""Members of zip and tar archives, at random and from many processes."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from functools import lru_cache

import numpy as np

from spot.runtime.errors import SpotError

_OPEN_ARCHIVES = 128
_LARGEST_MEMBER = 1 << 30  # bytes; larger than any frame or annotation: a zip bomb
_TAR_MEMBER = -1  # stands where a zip member has its compression method


def read_member(archive: str, member: str) -> bytes:
    """Return the content of one member of a .zip (stored or deflated) or of an uncompressed .tar.

    An archive's index is built at its first use in a process; the last 128 archives used stay open.

    Raises:
        SpotError: missing or cut-short archive, missing or broken member; the text names it.
    """
    return _open(archive).read(member)


def list_members(archive: str) -> list[str]:
    """Return sorted names of an archive's files. Raise SpotError for an archive that is missing or cut short."""
    return [name.decode() for name in _open(archive).names.tolist()]


class _Archive:
    """An archive's index, and reads that do not move the file's position.

    The index is a few sorted arrays (4 MB for 50,000 frames), because a process may have a hundred open archives.
    `os.pread` uses no shared position, so a file opened before a fork can be read by parent and child.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - open for as long as the index
            rows = self._zip_rows() if zipfile.is_zipfile(self._file) else self._tar_rows()
        except OSError as error:
            raise SpotError(f"{path}: {error.strerror}; check the path or restore the archive") from None
        except (zipfile.BadZipFile, tarfile.TarError) as error:
            raise SpotError(
                f"{path}: truncated, or not a zip or an uncompressed tar file ({error}); restore or repack it"
            ) from None
        for name, *_ in rows:
            if name.startswith("/") or ".." in name.split("/"):
                raise SpotError(f"{path}: the member {name!r} leads out of the archive; repack it")
        names = np.array([name.encode() for name, *_ in rows], bytes)
        order = np.argsort(names)
        self.names = names[order]
        self._places = np.array([place for _, *place in rows], np.int64).reshape(-1, 4)[order]

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, member: str) -> bytes:
        """See `read_member`."""
        name, file = member.encode(), self._file.fileno()
        row = int(np.searchsorted(self.names, name))
        if row == len(self.names) or self.names[row] != name:
            raise SpotError(f"{self.path} has no member {member}; check the path or restore the archive")
        offset, stored, method, crc = self._places[row].tolist()
        if method == _TAR_MEMBER:
            data = os.pread(file, stored, offset)
            intact = len(data) == stored
        else:
            # the data follow a header, whose length is written in the header
            header = os.pread(file, 30, offset)
            offset += 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            data = os.pread(file, stored, offset)
            try:
                if method == zipfile.ZIP_DEFLATED:
                    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
                    data = unpacker.decompress(data, _LARGEST_MEMBER)
                    if not unpacker.eof and unpacker.unconsumed_tail:
                        raise SpotError(f"{self.path}!/{member}: more than 1 GB when unpacked; remove or repack it")
                intact = zlib.crc32(data) == crc
            except zlib.error:
                intact = False
        if not intact:
            raise SpotError(f"{self.path}!/{member}: truncated or damaged; restore the archive")
        return data

    def _zip_rows(self) -> list[tuple[str, int, int, int, int]]:
        with zipfile.ZipFile(self._file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
        for info in members:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
                raise SpotError(f"{self.path}: {info.filename} is neither stored nor deflated; repack the archive")
        return [
            (info.filename, info.header_offset, info.compress_size, info.compress_type, info.CRC) for info in members
        ]

    def _tar_rows(self) -> list[tuple[str, int, int, int, int]]:
        self._file.seek(0)
        with tarfile.open(fileobj=self._file, mode="r:") as archive:
            members = [info for info in archive if info.isreg()]
        end = os.fstat(self._file.fileno()).st_size
        if any(info.offset_data + info.size > end for info in members):
            raise tarfile.ReadError("unexpected end of data")
        return [(info.name.removeprefix("./"), info.offset_data, info.size, _TAR_MEMBER, 0) for info in members]


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _open(path: str) -> _Archive:
    return _Archive(path)
