"""The plain format of OTB, LaSOT, UAV123, NFS, TrackingNet and most others.

<SEQUENCE>.txt                x,y,w,h a line
<SEQUENCE>_confidence.value   a confidence in [0, 1] a line; the first line is blank
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.results.numbers import read_table
from spot.results.result_track import Files, Track
from spot.runtime.errors import SpotError

NAME = "plain"
BOX_FILE = "{0}.txt"


def files(name: str, track: Track) -> Files:
    """Make the files of one video."""
    return {f"{name}_confidence.value": track.confidences_text(), BOX_FILE.format(name): track.boxes_text()}


def read_boxes(path: Path) -> np.ndarray:
    """Read the first four columns of a result file of boxes: (n, 4) float64 xywh.

    Raises:
        SpotError: the file is empty, or a line has text, NaN, an infinite number, fewer than four numbers, or eight
            (a polygon); the message names file and line.
    """
    rows = read_table(path)
    if not len(rows):
        raise SpotError(f"{path} is empty; track the video again")
    for line, row in enumerate(rows, 1):
        if len(row) < 4:
            raise SpotError(f"{path}, line {line}: {len(row)} numbers where a box needs four")
        if len(row) == 8:
            raise SpotError(f"{path}, line {line}: eight numbers are a polygon, but this benchmark needs boxes x,y,w,h")
    boxes = np.array([row[:4] for row in rows], np.float64)
    if (bad := np.flatnonzero(~np.isfinite(boxes).all(axis=1))).size:
        raise SpotError(f"{path}, line {bad[0] + 1}: a box is not finite; the tracker must write a box for every frame")
    return boxes
