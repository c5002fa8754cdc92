"""Convert the text of a result file to arrays: any separator, line ending and number format."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from spot.runtime.errors import SpotError

_SEPARATORS = bytes.maketrans(b"\t;,|[](){}", b" " * 10)
_EMPTY_CELL = re.compile(rb"^[ \t]*[,;]|[,;][ \t]*[,;]", re.MULTILINE)


def read_bytes(path: Path) -> bytes:
    """Read a file. Raise a SpotError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpotError(f"{path}: cannot be read ({error.strerror or error})") from None


def parse_boxes(data: bytes, path: str) -> np.ndarray:
    """Read the first four columns of a one-pass result file: (n, 4) float64.

    Columns are separated by commas, tabs, semicolons or spaces; further columns are ignored.

    Raises:
        SpotError: the file is empty, or a line has text, NaN, an infinite number, fewer than four numbers, or eight
            (a polygon); the message names file and line.
    """
    rows = parse_table(data, path)
    if not len(rows):
        raise SpotError(f"{path} is empty; track the video again")
    if isinstance(rows, np.ndarray):
        check_width(rows.shape[1], path, 1)
        boxes = rows[:, :4]
    else:
        for line, row in enumerate(rows, 1):
            check_width(len(row), path, line)
        boxes = np.array([row[:4] for row in rows], np.float64)
    if (bad := np.flatnonzero(~np.isfinite(boxes).all(axis=1))).size:
        raise SpotError(f"{path}, line {bad[0] + 1}: a box is not finite; the tracker must write a box for every frame")
    return boxes


def check_width(numbers: int, path: str, line: int) -> None:
    """Raise SpotError unless a row of so many numbers can be a box."""
    if numbers < 4:
        raise SpotError(f"{path}, line {line}: {numbers} numbers where a box needs four")
    if numbers == 8:
        raise SpotError(f"{path}, line {line}: eight numbers are a polygon, but this benchmark needs boxes x,y,w,h")


def parse_table(data: bytes, path: str) -> np.ndarray | list[list[float]]:
    """Read rows of numbers: an array (n, c) where all rows are as long, else a list a row (empty for blank lines).

    Raises:
        SpotError: a line has something else; the message names file and line.
    """
    lines = _lines(data)
    try:
        if _EMPTY_CELL.search(b"\n".join(lines)):
            raise ValueError("an empty cell")
        words = [line.translate(_SEPARATORS).decode("ascii") for line in lines]
        table = np.loadtxt(words, np.float64, comments=None, ndmin=2) if lines else np.zeros((0, 0))
        if len(table) == len(lines):
            return table
    except ValueError:
        pass
    return [_row(line, path, number) for number, line in enumerate(lines, 1)]


def parse_values(data: bytes, path: str) -> np.ndarray:
    """Read one number a line (confidences): (n,) float64; NaN for blank lines, such as VOT's first frame."""
    rows = parse_table(data, path)
    return np.array([row[0] if len(row) else np.nan for row in rows], np.float64)


def _row(line: bytes, path: str, number: int) -> list[float]:
    try:
        if _EMPTY_CELL.search(line):
            raise ValueError
        return [float(word) for word in line.translate(_SEPARATORS).split()]
    except ValueError:
        text = line.decode("utf-8", "replace").strip()
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise SpotError(f"{path}, line {number}: {shown!r} is not a row of numbers") from None


def _lines(data: bytes) -> list[bytes]:
    """Return lines without a byte order mark; blank lines at the end do not count."""
    return data.removeprefix(b"\xef\xbb\xbf").rstrip().splitlines()
