"""Suggest the frames to label next: those where a label helps most, over all videos with one budget.

A frame's need is the probability that its box is wrong (1 - score). A label at frame f reduces the need of the frames
up to the next labels, less for frames farther away. Frames are chosen greedily: need that a chosen frame reduces does
not count for the next choice. All videos have the same weight, whatever their length.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from scipy.signal import fftconvolve

from spot.data.box_table import BoxTable
from spot.data.frames_to_label import Frame

SPACING = 8  # none within n / (8k) frames of another label: n frames, k labels of the video's target


def suggest_frames(dense: BoxTable, budget: int) -> list[Frame]:
    """Choose frames to label.

    Args:
        dense: a row for each frame of each target, as `spot.annotation.dense.dense_boxes` makes them.
        budget: how many, at most.

    Returns:
        (video, target, frame), the most useful first; fewer than `budget` where the spacing leaves no more.
    """
    needs = {key: _Need(dense.take(rows)) for key, rows in _targets(dense).items()}
    best = {key: need.best() for key, need in needs.items()}
    chosen: list[Frame] = []
    while len(chosen) < budget:
        key = max(best, key=lambda each: best[each][0], default=None)
        if key is None or best[key][0] <= 0:
            break
        frame = best[key][1]
        chosen.append((*key, frame))
        needs[key].label(frame)
        best[key] = needs[key].best()
    return chosen


class _Need:
    """The need of the frames of one target."""

    def __init__(self, rows: BoxTable) -> None:
        self.frames = rows.frame
        self.need = np.where(rows.is_gt, 0.0, 1.0 - rows.score)
        self.labelled = sorted(rows.frame[rows.is_gt].tolist())
        count = len(self.labelled)
        self.spacing = max(1, len(rows) // (SPACING * max(count, 1)))
        self.reach = max(2.0, len(rows) / (2 * max(count, 1)))

    def best(self) -> tuple[float, int]:
        """Return the highest gain, as a fraction of the video, and the frame that has it; 0 where none is left."""
        gains = self._gains()
        at = int(gains.argmax())
        return float(gains[at]) / len(self.frames), int(self.frames[at])

    def label(self, frame: int) -> None:
        """Count a frame as labelled."""
        at = int(np.searchsorted(self.frames, frame))
        low, high = self._stretch(at)
        distance = np.abs(np.arange(low, high) - at)
        self.need[low:high] *= 1 - np.clip(1 - distance / self.reach, 0, 1)
        self.labelled = sorted([*self.labelled, frame])

    def _gains(self) -> np.ndarray:
        """Return (n,) the need that a label at each frame would reduce."""
        gains = np.zeros(len(self.need))
        bounds = [-1, *np.searchsorted(self.frames, self.labelled).tolist(), len(self.need)]
        for low, high in pairwise(bounds):
            part = self.need[low + 1 : high]
            if len(part):
                gains[low + 1 : high] = _met(part, self.reach)
        for frame in self.labelled:
            gains[np.abs(self.frames - frame) < self.spacing] = 0
        return gains

    def _stretch(self, at: int) -> tuple[int, int]:
        """Return the frames between the labels around a position."""
        places = np.searchsorted(self.frames, self.labelled)
        before, after = places[places < at], places[places > at]
        return int(before.max(initial=-1)) + 1, int(after.min(initial=len(self.frames)))


def _met(need: np.ndarray, reach: float) -> np.ndarray:
    """Return (n,) sums over the frames around each frame: need times 1 - distance / reach."""
    radius = min(max(1, int(reach)), len(need))
    kernel = np.clip(1 - np.abs(np.arange(-radius, radius + 1)) / reach, 0, 1)
    return np.maximum(fftconvolve(need, kernel, mode="same"), 0)


def _targets(dense: BoxTable) -> dict[tuple[str, int], np.ndarray]:
    """Return rows of each (video, target); the table is sorted, so that they lie together."""
    if not len(dense):
        return {}
    new = np.flatnonzero((dense.video[1:] != dense.video[:-1]) | (dense.target[1:] != dense.target[:-1])) + 1
    parts: Iterable[np.ndarray] = np.split(np.arange(len(dense)), new)
    return {(str(dense.video[rows[0]]), int(dense.target[rows[0]])): rows for rows in parts}
