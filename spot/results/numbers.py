"""Read the numbers of a result file: any separator, line ending and number format."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from spot.runtime.errors import SpotError

_SEPARATORS = bytes.maketrans(b"\t;,|[](){}", b" " * 10)
_EMPTY_CELL = re.compile(rb"^[ \t]*[,;]|[,;][ \t]*[,;]", re.MULTILINE)


def read_table(path: Path) -> np.ndarray | list[list[float]]:
    """Read rows of numbers, without blank lines at the end.

    Columns are separated by commas, tabs, semicolons or spaces; brackets around a row do not count.

    Returns:
        (n, c) float64 where all rows are as long, else a list for each row (empty for blank lines).

    Raises:
        SpotError: the file cannot be read, or a line has something else; the message names file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpotError(f"{path}: cannot be read ({error.strerror or error})") from None
    lines = data.removeprefix(b"\xef\xbb\xbf").rstrip().splitlines()
    try:
        if _EMPTY_CELL.search(b"\n".join(lines)):
            raise ValueError("an empty cell")
        words = [line.translate(_SEPARATORS).decode("ascii") for line in lines]
        table = np.loadtxt(words, np.float64, comments=None, ndmin=2) if lines else np.zeros((0, 0))
        if len(table) == len(lines):  # NumPy passes over blank lines
            return table
    except ValueError:
        pass
    return [_parse_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _parse_row(line: bytes, place: str) -> list[float]:
    try:
        if _EMPTY_CELL.search(line):
            raise ValueError
        return [float(word) for word in line.translate(_SEPARATORS).split()]
    except ValueError:
        text = line.decode("utf-8", "replace").strip()
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise SpotError(f"{place}: {shown!r} is not a row of numbers") from None
