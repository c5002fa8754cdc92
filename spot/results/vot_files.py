"""The formats of the VOT toolkits: supervised runs with restarts, and long-term runs with confidences.

baseline/<SEQUENCE>/<SEQUENCE>_001.txt                1 initialised, 2 failed, 0 skipped, or x,y,w,h
                   /<SEQUENCE>_001_confidence.value   a confidence a line; the first line is blank
longterm/<SEQUENCE>/<SEQUENCE>_001.txt                1, then x,y,w,h a line
                   /<SEQUENCE>_001_confidence.value   as above
                   /<SEQUENCE>_time.txt               seconds of each frame

Regions of other programs may be polygons of four corners too. The codes are those of `evaluation.vot.supervised`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.evaluation.vot.supervised import FAILED, INITIALISED, REGION, SKIPPED
from spot.results.numbers import read_table
from spot.results.result_track import Files, Track, as_text
from spot.runtime.errors import SpotError

SUPERVISED, LONG_TERM = "vot", "vot_lt"
HOMES = {SUPERVISED: "baseline", LONG_TERM: "longterm"}
BOX_FILES = {name: f"{home}/{{0}}/{{0}}_001.txt" for name, home in HOMES.items()}


def supervised_files(name: str, track: Track) -> Files:
    """Make the files of one supervised run."""
    boxes = track.boxes_text().splitlines(keepends=True)
    rows = [box if code == REGION else f"{code}\n" for box, code in zip(boxes, track.codes.tolist(), strict=True)]
    folder = f"{HOMES[SUPERVISED]}/{name}"
    return {
        f"{folder}/{name}_001_confidence.value": track.confidences_text(),
        BOX_FILES[SUPERVISED].format(name): "".join(rows),
    }


def long_term_files(name: str, track: Track) -> Files:
    """Make the files of one long-term run."""
    folder = f"{HOMES[LONG_TERM]}/{name}"
    return {
        f"{folder}/{name}_time.txt": as_text(track.seconds),
        f"{folder}/{name}_001_confidence.value": track.confidences_text(),
        BOX_FILES[LONG_TERM].format(name): f"{INITIALISED}\n{as_text(track.boxes[1:], 4)}",
    }


def home(folder: Path, result_format: str) -> Path:
    """Return the folder of a tracker's results in that format: `baseline/`, `longterm/`, or the given folder."""
    inside = folder / HOMES.get(result_format, "")
    return inside if inside.is_dir() else folder


def read_run(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a result file: codes, boxes or four-cornered polygons, line by line.

    Returns:
        regions: (n, 8) float64 corner points x1, y1 .. x4, y4; NaN where the line is a code.
        codes: (n,) int64: INITIALISED, FAILED, SKIPPED (or unknown), REGION.

    Raises:
        SpotError: a line is not a code, a box or a polygon; the message names file and line.
    """
    rows = [list(row) for row in read_table(path)]
    regions, codes = np.full((len(rows), 8), np.nan), np.full(len(rows), REGION, np.int64)
    for line, row in enumerate(rows):
        if len(row) == 1 and row[0] in (SKIPPED, INITIALISED, FAILED):
            codes[line] = int(row[0])
        elif len(row) == 1 and not np.isnan(row[0]):
            raise SpotError(
                f"{path}, line {line + 1}: {row[0]:g} is not a code; VOT's are 1 (initialised), 2 (failed), 0"
            )
        elif len(row) in (4, 8):
            regions[line] = row if len(row) == 8 else corner_points(np.array([row]))[0]
        elif len(row) != 1:
            raise SpotError(f"{path}, line {line + 1}: {len(row)} numbers; expected a code, a box (4) or a polygon (8)")
    # A tracker that has lost its target may write NaN. VOT treats this as a frame without a region.
    lost = (codes == REGION) & np.isnan(regions).any(axis=1)
    regions[lost], codes[lost] = np.nan, SKIPPED
    return regions, codes


def read_confidences(path: Path, video: str, frames: int) -> np.ndarray:
    """Read (n,) confidences; NaN in the first frame, in which the box is given.

    Raises:
        SpotError: another number of rows than frames, or than frames after the first.
    """
    values = np.array([row[0] if len(row) else np.nan for row in read_table(path)], np.float64)
    if len(values) == frames - 1:
        values = np.concatenate([[np.nan], values])
    if len(values) != frames:
        raise SpotError(f"{path}: {len(values)} rows, but video {video} has {frames} frames")
    values[0] = np.nan
    return values


def corner_points(boxes: np.ndarray) -> np.ndarray:
    """Convert (n, 4) boxes xywh to (n, 8) corner points, clockwise from the top left."""
    x, y, w, h = boxes.T
    return np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)
