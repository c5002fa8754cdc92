"""Ocean on video (docs/method.md section 7)."""

from __future__ import annotations

import numpy as np

from spot.architectures.siamese_tracker import SiameseTracker


class OceanTracker(SiameseTracker):
    """`SiameseTracker` with the rounding and smoothing of the published program."""

    def _corners(self, centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return np.rint(centers - (sides[:, None] + 1) / 2).astype(np.int64)

    def _whole(self, sides: np.ndarray) -> np.ndarray:
        return np.floor(sides + 0.5)

    def _smooth(self, old: np.ndarray, new: np.ndarray, rate: np.ndarray) -> np.ndarray:
        return old + rate**2 * (new - old)  # smoothed twice, hence the square: published checkpoints are tested so
