"""A data set of one's own: videos as folders of images, all boxes in one table.

<root>/annotations.csv              video,frame,x,y,w,h a line: frame from 0; no line for a frame without the target
      /<video>/000000.jpg ...       the images, in the order of their names
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from spot.data.annotations import drawable
from spot.data.folders import list_frames, need_root
from spot.data.video import Video, VideoSet
from spot.runtime.errors import SpotError


def load(root: str | None, broken: list[str] | None = None) -> VideoSet:
    """Open the set; a video whose rows do not fit its frames is an error, or a line in `broken` (spot.check)."""
    root = need_root(root, "csv_videos", "CSV_VIDEOS_ROOT")
    rows: dict[str, list[list[float]]] = {}
    with open(Path(root) / "annotations.csv", newline="") as file:
        for video, *numbers in csv.reader(file):
            rows.setdefault(video, []).append([float(number) for number in numbers])
    videos = []
    for name, table in rows.items():
        try:
            videos.append(_video(root, name, np.array(table)))
        except SpotError as error:
            if broken is None:
                raise
            broken.append(str(error))
    return VideoSet.from_videos("csv_videos", videos, split="all")


def _video(root: str, name: str, table: np.ndarray) -> Video:
    frames = list_frames(f"{root}/{name}")
    ids = table[:, 0].astype(int)
    if ids.max() >= len(frames):
        raise SpotError(f"{root}/annotations.csv: frame {ids.max()} of {name}, which has {len(frames)}; correct it")
    boxes = np.zeros((len(frames), 4), np.float32)
    boxes[ids] = table[:, 1:]
    return Video(name, frames, boxes, visible=drawable(boxes))
