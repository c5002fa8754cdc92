"""Suggest the frames to label next: those where a label helps most, over all videos with one budget.

A frame's need is the probability that its box is wrong (1 - score). A label divides its gap, the frames between two
labels, into two. The need of each frame becomes smaller in proportion to its gap. The frames before the first label and
after the last one are tracked in one direction only; they count as a gap of twice their length. Frames are chosen
greedily, and all videos have the same weight, whatever their length.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

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
        place = best[key][1]
        chosen.append((*key, int(needs[key].frames[place])))
        needs[key].label(place)
        best[key] = needs[key].best()
    return chosen


class _Need:
    """The need of the frames of one target. Places are positions in the target's rows."""

    def __init__(self, rows: BoxTable) -> None:
        self.frames = rows.frame
        self.need = np.where(rows.is_gt, 0.0, 1.0 - rows.score)
        self.labelled = np.flatnonzero(rows.is_gt).tolist()
        self.spacing = max(1, len(rows) // (SPACING * max(len(self.labelled), 1)))

    def best(self) -> tuple[float, int]:
        """Return the highest gain, as a fraction of the video, and its place; 0 where none is left."""
        gains = np.zeros(len(self.need))
        for low, high in pairwise([-1, *self.labelled, len(self.need)]):
            part = self.need[low + 1 : high]
            until = np.cumsum(part)
            before, after = self._kept(np.arange(low + 1, high), low, high)
            gains[low + 1 : high] = part + (1 - before) * (until - part) + (1 - after) * (part.sum() - until)
        for place in self.labelled:
            gains[max(place - self.spacing + 1, 0) : place + self.spacing] = 0
        at = int(gains.argmax())
        return float(gains[at]) / len(gains), at

    def label(self, at: int) -> None:
        """Count the frame at a place as labelled."""
        low = max((place for place in self.labelled if place < at), default=-1)
        high = min((place for place in self.labelled if place > at), default=len(self.need))
        before, after = self._kept(np.array(at), low, high)
        self.need[low + 1 : at] *= before
        self.need[at] = 0
        self.need[at + 1 : high] *= after
        self.labelled = sorted([*self.labelled, at])

    def _kept(self, at: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the fraction of need that a label at `at`, between the labels `low` and `high`, leaves before and after it."""
        open_low, open_high = low < 0, high == len(self.need)
        whole = (high - low) * (2 if open_low or open_high else 1)
        before, after = (at - low) * (1 + open_low), (high - at) * (1 + open_high)
        return np.minimum(before / whole, 1), np.minimum(after / whole, 1)


def _targets(dense: BoxTable) -> dict[tuple[str, int], np.ndarray]:
    """Return rows of each (video, target); the table is sorted, so that they lie together."""
    if not len(dense):
        return {}
    new = np.flatnonzero((dense.video[1:] != dense.video[:-1]) | (dense.target[1:] != dense.target[:-1])) + 1
    parts: Iterable[np.ndarray] = np.split(np.arange(len(dense)), new)
    return {(str(dense.video[rows[0]]), int(dense.target[rows[0]])): rows for rows in parts}
