"""NanoTrack on video, by the rule of the published Python program."""

from __future__ import annotations

import numpy as np

from spot.architectures.siamese_tracker import SiameseTracker


class NanoTracker(SiameseTracker):
    """`SiameseTracker` with the rounding and smoothing of the published program."""

    mirror = True  # docs/own_videos.md has the measurements

    def _place(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes = boxes[:, 2:]
        return boxes[:, :2] + (sizes - 1) / 2, sizes  # as published: from the pixels here, from the area in `step`

    def _corners(self, centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return np.floor(centers - (sides[:, None] + 1) / 2 + 0.5).astype(np.int64)

    def _whole(self, sides: np.ndarray) -> np.ndarray:
        return np.rint(sides)

    def _smooth(self, old: np.ndarray, new: np.ndarray, rate: np.ndarray) -> np.ndarray:
        return (1 - rate) * old + rate * new
