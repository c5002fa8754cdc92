"""The files of an import, from a folder, a file or a zip; and writing those of an export."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from spot.data.folders import is_clutter
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

_LARGEST_FILE = 1 << 28  # bytes of a file that is read; pictures in a zip are not


class Files:
    """The files of an import: a file alone, those of a folder, or those of a zip, which is never unpacked.

    Raises:
        SpotError: nothing there, or a zip that names places outside itself.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        try:
            if self.path.is_dir():
                found = (Path(folder, file) for folder, _, files in os.walk(self.path) for file in files)
                names = [str(file.relative_to(self.path)) for file in found]
            elif zipfile.is_zipfile(self.path):
                self._zip = zipfile.ZipFile(self.path)
                names = self._zip_names(self._zip)
            elif self.path.is_file():
                names = [""]
            else:
                raise SpotError(f"{path}: no such file or folder; correct import=")
        except (OSError, zipfile.BadZipFile) as error:
            raise SpotError(f"{path}: cannot be read ({error}); correct import=") from None
        self.names = sorted(n for n in names if not any(is_clutter(part) for part in n.split("/")))

    def ending(self, *endings: str) -> list[str]:
        """Return names of the files that end so; a file alone counts whatever its name."""
        return [name for name in self.names if not name or name.lower().endswith(endings)]

    def read(self, name: str) -> bytes:
        """Return the content of one of `names`. Raise SpotError if it cannot be read, or is larger than 256 MB."""
        try:
            file = self.path / name if name else self.path
            size = file.stat().st_size if self._zip is None else self._zip.getinfo(name).file_size
            if size > _LARGEST_FILE:
                raise SpotError(f"{self.place(name)}: larger than 256 MB; split it")
            return file.read_bytes() if self._zip is None else self._zip.read(name)
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise SpotError(f"{self.place(name)}: cannot be read ({error})") from None

    def text(self, name: str) -> str:
        """Return the content as text. Raise SpotError if it is not UTF-8."""
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SpotError(f"{self.place(name)}: not a text file in UTF-8") from None

    def json(self, name: str) -> Any:
        """Return the content as JSON. Raise SpotError if it is none."""
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise SpotError(f"{self.place(name)}: not a JSON file ({error})") from None

    def place(self, name: str) -> str:
        """Return a file's name for error messages."""
        return f"{self.path}/{name}" if name else str(self.path)

    def _zip_names(self, archive: zipfile.ZipFile) -> list[str]:
        members = [m for m in archive.infolist() if not m.is_dir()]
        for member in members:
            parts = member.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or ":" in parts[0]:
                raise SpotError(f"{self.path}: the zip names {member.filename!r}, a place outside itself")
        return [member.filename for member in members]


@contextlib.contextmanager
def reading(files: Files, kind: str) -> Iterator[None]:
    """Turn what broken content raises into a SpotError that names the files and the expected kind."""
    broken = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
    try:
        yield
    except (*broken, csv.Error, yaml.YAMLError) as error:
        reason = (str(error).splitlines() or [""])[0][:160]
        raise SpotError(f"{files.path}: not {kind} ({type(error).__name__}: {reason})") from None


def whole(value: float | str) -> int:
    """Return a whole number of a file.

    Raises:
        ValueError: it is not whole; numbers of frames are not rounded without a word.
    """
    if float(value) != int(float(value)):
        raise ValueError(f"{value} is not a whole number")
    return int(float(value))


def write_text(file: Path, text: str) -> Path:
    """Write a text file atomically."""
    with replacing(file, "choose another folder") as aside:
        aside.write_text(text, encoding="utf-8")
    return file


def write_small(file: Path, text: str) -> Path:
    """Write one of very many small text files atomically, but without waiting for the disk."""
    aside = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        raise SpotError(f"{file}: cannot be written ({error.strerror}); choose another folder") from None
    return file
