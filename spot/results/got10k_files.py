"""The format of the GOT-10k toolkit.

<SEQUENCE>/<SEQUENCE>_001.txt                x,y,w,h a line; _002, _003 for repetitions
          /<SEQUENCE>_001_confidence.value   a confidence in [0, 1] a line; the first line is blank
          /<SEQUENCE>_time.txt               seconds of each frame; a column a repetition
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.results.numbers import parse_table, read_bytes
from spot.results.result_track import Files, Track, column, lines
from spot.runtime.errors import SpotError

NAME = "got10k"
BOX_FILE = "{0}/{0}_001.txt"
TIME_FILE = "{0}/{0}_time.txt"


def files(name: str, track: Track) -> Files:
    """Make the files of one video."""
    return {
        TIME_FILE.format(name): column(track.seconds),
        f"{name}/{name}_001_confidence.value": track.confidence_column(),
        BOX_FILE.format(name): lines(track.box_rows()),
    }


def read_seconds(path: Path) -> np.ndarray:
    """Read (n, r) seconds of n frames in r repetitions. Raise a SpotError that names file and line."""
    rows = parse_table(read_bytes(path), str(path))
    if isinstance(rows, np.ndarray):
        return rows
    widths = {len(row) for row in rows if row}
    if len(widths) > 1:
        line = next(i for i, row in enumerate(rows, 1) if len(row) != len(rows[0]))
        raise SpotError(f"{path}, line {line}: {len(rows[line - 1])} times, but line 1 has {len(rows[0])}")
    return np.array([row or [np.nan] * widths.copy().pop() for row in rows], np.float64)
