"""A measure of one's own: where is the target lost? Reads the result files that spot.test wrote.

python lost.py outputs/results csv_videos
"""

from __future__ import annotations

import os
import sys

import numpy as np
from csv_videos import load

from spot.data.video import VideoSet
from spot.evaluation.measures import overlap
from spot.results.plain_files import read_boxes
from spot.results.searching import find_files, find_trackers


def kept_fraction(overlaps: np.ndarray, visible: np.ndarray, patience: int = 5) -> float:
    """Fraction of a video that passes before the target is lost for good.

    Lost: no overlap in `patience` frames with the target in a row.

    Args:
        overlaps: (n,) IoU of each frame in [0, 1].
        visible: (n,) bool, the target is there to be seen; other frames do not count.
        patience: frames.

    Returns:
        In [0, 1]; 1 where the target is never lost.
    """
    missed = overlaps[visible] <= 0
    runs = np.convolve(missed, np.ones(patience), mode="valid") >= patience
    return float(runs.argmax() / len(missed)) if runs.any() else 1.0


def evaluate(videos: VideoSet, results: str, benchmark: str) -> dict[str, float]:
    """Mean of `kept_fraction` over the videos, for each tracker with results."""
    table = {}
    for tracker, folder in find_trackers(results, benchmark, None).items():
        files = find_files(tracker, folder, videos.names, benchmark)
        fractions = [
            kept_fraction(
                overlap(video.boxes.astype(np.float64), read_boxes(files.boxes[video.name][0])), video.visible
            )
            for video in videos
        ]
        table[tracker] = float(np.mean(fractions))
    return table


if __name__ == "__main__":
    for name, fraction in evaluate(load(os.environ["CSV_VIDEOS_ROOT"]), *sys.argv[1:3]).items():
        print(f"{name}: {100 * fraction:.1f} % of a video before the target is lost")
