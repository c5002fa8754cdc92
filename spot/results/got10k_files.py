"""The format of the GOT-10k toolkit.

<SEQUENCE>/<SEQUENCE>_001.txt                x,y,w,h a line; _002, _003 for repetitions
          /<SEQUENCE>_001_confidence.value   a confidence in [0, 1] a line; the first line is blank
          /<SEQUENCE>_time.txt               seconds of each frame; a column a repetition
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spot.results.numbers import read_table
from spot.results.result_track import Files, Track, as_text
from spot.runtime.errors import SpotError

NAME = "got10k"
BOX_FILE = "{0}/{0}_001.txt"
TIME_FILE = "{0}/{0}_time.txt"


def files(name: str, track: Track) -> Files:
    """Make the files of one video."""
    return {
        TIME_FILE.format(name): as_text(track.seconds),
        f"{name}/{name}_001_confidence.value": track.confidences_text(),
        BOX_FILE.format(name): track.boxes_text(),
    }


def read_seconds(path: Path) -> np.ndarray:
    """Read (n, r) seconds of n frames in r repetitions, NaN in blank lines. Raise a SpotError that names file and line."""
    rows = read_table(path)
    width = max(map(len, rows), default=0)
    for line, row in enumerate(rows, 1):
        if len(row) not in (0, len(rows[0])):
            raise SpotError(f"{path}, line {line}: {len(row)} times, but line 1 has {len(rows[0])}")
    return np.array([row if len(row) else [np.nan] * width for row in rows], np.float64)


def frames_per_second(paths: Iterable[Path]) -> float | None:
    """Average 1 / t over the frames whose time is positive, as the GOT-10k toolkit does; None where there are none."""
    seconds = np.concatenate([np.zeros(0), *(read_seconds(path).ravel() for path in paths)])
    used = seconds[seconds > 0]
    return float(np.mean(1 / used)) if len(used) else None
