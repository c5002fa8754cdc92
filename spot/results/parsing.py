"""The text of a result file to numbers: any separator, any line ending, any way to write a number."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np

from spot.runtime.errors import SpotError

_SPACES = bytes.maketrans(b"\t;,|[](){}", b" " * 10)
_TO_SPACES = bytes.maketrans(b",\n", b"  ")
_EMPTY_CELL = re.compile(rb"^\s*[,;]|[,;]\s*[,;]")
_COMMA, _NEWLINE, _POINT = ord(","), ord("\n"), ord(".")


def parse_boxes(data: bytes, path: str) -> np.ndarray:
    """(n, 4) float64: the first four columns of a one-pass result file.

    Columns may be separated by commas, tabs, semicolons or spaces; further columns are ignored.

    Raises:
        SpotError: naming the file and line, for text, NaN and infinite numbers, rows of fewer than four numbers, and
            rows of eight, which are polygons; and for an empty file.
    """
    if not data.strip():
        raise SpotError(f"{path} is empty")
    table = _quick(data)
    if table is None:
        rows = _rows(data, path)
        for line, row in enumerate(rows, 1):
            _check_width(len(row), path, line)
        table = np.array([row[:4] for row in rows], np.float64).reshape(-1, 4)
    _check_width(table.shape[1], path, 1)
    if not np.isfinite(table[:, :4]).all():
        line = int(np.flatnonzero(~np.isfinite(table[:, :4]).all(axis=1))[0])
        raise SpotError(f"{path}, line {line + 1}: a box is not finite; the tracker must write a box for every frame")
    return table[:, :4]


def _check_width(numbers: int, path: str, line: int) -> None:
    if numbers < 4:
        raise SpotError(f"{path}, line {line}: {numbers} numbers where a box needs four")
    if numbers == 8:
        raise SpotError(f"{path}, line {line}: eight numbers are a polygon, but this benchmark wants boxes x,y,w,h")


def parse_regions(data: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
    """A VOT result file: special codes, boxes or four-cornered polygons, line by line.

    Returns:
        regions: (n, 8) float64 corner points x1, y1 .. x4, y4; NaN where the line is a code.
        codes: (n,) int64: 1 initialised, 2 failed, 0 skipped or unknown; -1 where the line is a region.

    Raises:
        SpotError: naming the file and line.
    """
    rows = _rows(data, path)
    regions, codes = np.full((len(rows), 8), np.nan), np.full(len(rows), -1, np.int64)
    boxes = np.array([i for i, row in enumerate(rows) if len(row) == 4], np.int64)
    for line, row in enumerate(rows):
        if len(row) == 1 and row[0] in (0, 1, 2):
            codes[line] = int(row[0])
        elif len(row) == 1 and not np.isnan(row[0]):
            raise SpotError(f"{path}, line {line + 1}: {row[0]:g} is no code; VOT's are 1 (initialised), 2 (failed), 0")
        elif len(row) == 8:
            regions[line] = row
        elif len(row) not in (1, 4):
            raise SpotError(f"{path}, line {line + 1}: {len(row)} numbers; expected a code, a box (4) or a polygon (8)")
    if len(boxes):
        regions[boxes] = corner_points(np.array([rows[i] for i in boxes], np.float64))
    if (bad := np.flatnonzero((codes < 0) & np.isnan(regions).any(axis=1))).size:
        # A tracker that has lost its target may write NaN; VOT takes that as a frame without a region.
        regions[bad], codes[bad] = np.nan, 0
    return regions, codes


def parse_values(data: bytes, path: str) -> np.ndarray:
    """(n,) float64, one number a line (times, confidences); NaN for empty lines: VOT's first frame."""
    values = []
    for number, line in enumerate(_lines(data), 1):
        words = line.translate(_SPACES).split()
        try:
            values.append(float(words[0]) if words else np.nan)
        except ValueError:
            raise SpotError(f"{path}, line {number}: {_shown(line)} is not a number") from None
    return np.array(values, np.float64)


def corner_points(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) boxes xywh to (n, 8) corner points, clockwise from the top left."""
    x, y, w, h = boxes.T
    return np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)


def _quick(data: bytes) -> np.ndarray | None:
    """The table where all lines have the same number of plain numbers; None where it takes a closer look."""
    text = data.strip().replace(b"\r", b"").replace(b"\t", b",")
    columns = text.partition(b"\n")[0].count(b",") + 1
    characters = np.frombuffer(text, np.uint8)
    separators = np.append(characters[(characters == _COMMA) | (characters == _NEWLINE)], _NEWLINE)
    if len(separators) % columns or b"u" in text:  # `null` and `true` are no numbers
        return None
    if not (separators.reshape(-1, columns) == [_COMMA] * (columns - 1) + [_NEWLINE]).all():
        return None
    numbers = _fixed_point(text, characters, len(separators))
    if numbers is None:
        try:
            numbers = np.array(json.loads(b"[" + text.replace(b"\n", b",") + b"]"), np.float64)
        except (ValueError, TypeError):
            return None
    return numbers.reshape(-1, columns)


def _fixed_point(text: bytes, characters: np.ndarray, count: int) -> np.ndarray | None:
    """Numbers that all have as many decimals, read as whole numbers: many times as fast, and the same to the last bit.

    Args:
        text: numbers between commas and newlines.
        characters: the same as uint8.
        count: how many numbers there are.
    """
    points = np.flatnonzero(characters == _POINT)
    decimals = 0
    if len(points):
        decimals = int(np.argmax(characters[points[0] + 1 :] < _POINT)) or len(text) - 1 - int(points[0])
        ends = characters[np.minimum(points + decimals + 1, len(text) - 1)]
        ends[points + decimals + 1 == len(text)] = _COMMA
        if len(points) != count or not ((ends == _COMMA) | (ends == _NEWLINE)).all():
            return None
    if decimals > 9 or text.translate(None, b"0123456789-.,\n"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of text that is not a number, found by the count below
        try:
            whole = np.fromstring(text.translate(_TO_SPACES, b"."), np.int64, sep=" ")
        except ValueError:
            return None
    if len(whole) != count or np.abs(whole).max(initial=0) >= 2**53:
        return None
    return whole / 10**decimals


def _rows(data: bytes, path: str) -> list[list[float]]:
    rows = []
    for number, line in enumerate(_lines(data), 1):
        try:
            if _EMPTY_CELL.search(line):
                raise ValueError
            rows.append([float(word) for word in line.translate(_SPACES).split()])
        except ValueError:
            raise SpotError(f"{path}, line {number}: {_shown(line)} is not a row of numbers") from None
    return rows


def _lines(data: bytes) -> list[bytes]:
    """Lines without what surrounds them; blank lines count only where another line follows."""
    return data.removeprefix(b"\xef\xbb\xbf").rstrip().splitlines()


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return repr(text if len(text) <= 40 else text[:37] + "...")
