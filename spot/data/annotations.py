"""Annotation files to arrays: one reader for the text tables of all data sets.

Data sets separate numbers by commas, tabs, spaces or semicolons, end lines as Unix or Windows does, and add
blank lines at the end. All of that is read; what cannot be a number is an error that names file and line.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spot.runtime.errors import SpotError

# A carriage return alone ends a line too: old Macintosh files have nothing else.
_SEPARATORS = bytes.maketrans(b",;\t\x0b\x0c\r", b"     \n")
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)
_SPACE, _LINE_END = 32, 10


class Annotation(NamedTuple):
    """The annotation of one video: boxes (n, 4) float32 xywh in pixels and visible (n,) bool."""

    boxes: np.ndarray
    visible: np.ndarray


def parse_table(data: bytes, source: str, columns: int | None) -> np.ndarray:
    """Read a table of numbers, `columns` to a line.

    Args:
        data: content of a text file. `nan` in any case is a number here, infinities become NaN.
        source: the file's name, for errors.
        columns: numbers that each line that is not blank must hold; None: as many as the first of them.

    Returns:
        (rows, columns) float64.

    Raises:
        SpotError: no rows; a line with other content or another count of numbers. Names file and line.
    """
    text = _clean(data, source)
    values, counts = _numbers(text, source)
    columns = columns or int(counts[counts > 0][0])
    if wrong := np.flatnonzero((counts != columns) & (counts != 0)).tolist():
        line = wrong[0]
        raise SpotError(
            f"{source}: line {line + 1} has {counts[line]} numbers instead of {columns}; repair or download it again"
        )
    return values.reshape(-1, columns)


def parse_flags(data: bytes, source: str) -> np.ndarray:
    """Read numbers in one line or one to a line: (n,) float64. Raise SpotError as `parse_table`."""
    return _numbers(_clean(data, source), source)[0]


def attributes_in(data: bytes, source: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of `names` whose flag is set in a file of one flag for each name. Raise SpotError otherwise."""
    flags = fit_rows(parse_flags(data, source), len(names), source, "attributes")
    return tuple(name for name, flag in zip(names, flags.tolist(), strict=True) if flag > 0)


def drawable(boxes: np.ndarray) -> np.ndarray:
    """Return (n,) bool: rows of (n, 4) xywh that are boxes with an area (NaN, zero and negative sides are not)."""
    return np.isfinite(boxes).all(1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)


def fit_rows(values: np.ndarray, rows: int, source: str, what: str = "frames") -> np.ndarray:
    """Return `values` if it has `rows` rows. Raise a SpotError that names the file otherwise."""
    if len(values) != rows:
        raise SpotError(f"{source}: {len(values)} rows for {rows} {what}; one of them is incomplete, download it again")
    return values


def _clean(data: bytes, source: str) -> bytes:
    text = data.removeprefix(_BOM).replace(b"\r\n", b"\n").translate(_SEPARATORS)
    if b"\0" in text:
        line = text[: text.index(b"\0")].count(b"\n") + 1
        raise SpotError(f"{source}: NUL bytes in line {line}, an interrupted copy; download it again")
    if not text.strip():
        raise SpotError(f"{source}: the file is empty; download it again")
    return text


def _numbers(text: bytes, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all numbers of a cleaned text, float64, and how many each line holds, int64."""
    symbols = np.frombuffer(text, np.uint8)
    inside = (symbols != _SPACE) & (symbols != _LINE_END)
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    ends = np.flatnonzero(symbols == _LINE_END)
    counts = np.diff(np.searchsorted(np.flatnonzero(starts), ends), prepend=0, append=0)
    total = int(starts.sum())
    counts[-1] = total - counts[:-1].sum()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error", DeprecationWarning
        )  # NumPy's warning that the text has something other than numbers
        try:
            values = np.fromstring(text.replace(b"\n", b" "), np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if len(values) != total:
        raise SpotError(f"{source}: {_culprit(text)}; repair or download it again")
    return np.where(np.isfinite(values), values, np.nan), counts


def _culprit(text: bytes) -> str:
    """Return where a text that holds something other than numbers first does so."""
    for number, line in enumerate(text.split(b"\n"), 1):
        for word in line.split():
            if not _NUMBER.fullmatch(word):
                shown = word[:30].decode("utf-8", "replace")
                return f"line {number} holds {shown!r}, which is not a number"
    return "it cannot be read as numbers"
