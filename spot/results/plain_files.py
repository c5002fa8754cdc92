"""The plain format of OTB, LaSOT, UAV123, NFS, TrackingNet and most others.

<SEQUENCE>.txt                x,y,w,h a line
<SEQUENCE>_confidence.value   a confidence in [0, 1] a line; the first line is blank
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.results.numbers import parse_boxes, read_bytes
from spot.results.result_track import Files, Track, lines

NAME = "plain"
BOX_FILE = "{0}.txt"


def files(name: str, track: Track) -> Files:
    """Make the files of one video."""
    return {f"{name}_confidence.value": track.confidence_column(), BOX_FILE.format(name): lines(track.box_rows())}


def read_boxes(path: Path) -> np.ndarray:
    """Read (n, 4) float64 boxes xywh. Raise a SpotError that names file and line."""
    return parse_boxes(read_bytes(path), str(path))
