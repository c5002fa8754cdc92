"""Annotation files to arrays: one reader for the text tables of all data sets.

Data sets separate numbers by commas, tabs, spaces or semicolons, end lines as Unix or Windows does, and add
blank lines at the end. All of that is read; what cannot be a number is an error that names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spot.runtime.errors import SpotError

# A carriage return alone ends a line too: old Macintosh files have nothing else.
_SEPARATORS = bytes.maketrans(b",;\t\x0b\x0c\r", b"     \n")
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)


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
    rows = _words(data, source)
    columns = columns or len(next(row for row in rows if row))
    for line, row in enumerate(rows, 1):
        if row and len(row) != columns:
            raise SpotError(
                f"{source}: line {line} has {len(row)} numbers instead of {columns}; repair or download it again"
            )
    return _floats(rows).reshape(-1, columns)


def parse_flags(data: bytes, source: str) -> np.ndarray:
    """Read numbers in one line or one to a line: (n,) float64. Raise SpotError as `parse_table`."""
    return _floats(_words(data, source))


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


def first_frame_alone(boxes: np.ndarray, frames: int) -> np.ndarray:
    """Return (frames, 4) boxes, NaN but in the first row, where a file has one row for many frames; else the boxes."""
    if len(boxes) != 1 or frames < 2:
        return boxes
    return np.concatenate([boxes, np.full((frames - 1, 4), np.nan, boxes.dtype)])


def _words(data: bytes, source: str) -> list[list[bytes]]:
    """Return the words of each line, all of them numbers. Raise SpotError otherwise."""
    text = data.removeprefix(_BOM).replace(b"\r\n", b"\n").translate(_SEPARATORS)
    if b"\0" in text:
        line = text[: text.index(b"\0")].count(b"\n") + 1
        raise SpotError(f"{source}: NUL bytes in line {line}, an interrupted copy; download it again")
    rows = [line.split() for line in text.split(b"\n")]
    if not any(rows):
        raise SpotError(f"{source}: the file is empty; download it again")
    for line, row in enumerate(rows, 1):
        for word in row:
            if not _NUMBER.fullmatch(word):
                shown = word[:30].decode("utf-8", "replace")
                raise SpotError(
                    f"{source}: line {line} holds {shown!r}, which is not a number; repair or download it again"
                )
    return rows


def _floats(rows: Sequence[Sequence[bytes]]) -> np.ndarray:
    values = np.array([float(word) for row in rows for word in row])
    return np.where(np.isfinite(values), values, np.nan)
