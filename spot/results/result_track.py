"""The result of a tracker on one video, before it is written to a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spot.evaluation.vot.supervised import SKIPPED

Files = dict[str, str]
"""Path below the tracker's folder -> content. The box file is last: if it exists, all the others exist."""


@dataclass(frozen=True, eq=False)
class Track:
    """A tracked video of n frames.

    Attributes:
        boxes: (n, 4) float64 xywh in pixels of the full frame; the first row is the given box.
        scores: (n,) float64 confidence in [0, 1]; 1 where the tracker was initialised.
        seconds: (n,) float64 time of the frame: the forward pass of its batch divided by the videos in it; decoding excluded.
        codes: (n,) int64, REGION, or a code of `evaluation.vot.supervised`; only the VOT formats use it.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    codes: np.ndarray

    @classmethod
    def empty(cls, frames: int) -> Track:
        """Make an empty track, in which every frame is marked as skipped."""
        return cls(np.zeros((frames, 4)), np.zeros(frames), np.zeros(frames), np.full(frames, SKIPPED))

    def boxes_text(self) -> str:
        """Return `x,y,w,h` a line, four decimals."""
        return as_text(self.boxes, 4)

    def confidences_text(self) -> str:
        """Return a confidence a line; the first line is blank, because the first box is given."""
        return "\n" + as_text(self.scores[1:])


def as_text(table: np.ndarray, decimals: int = 6) -> str:
    """Return an (n, c) table, or n numbers, as the content of a file: a row a line, separated by commas."""
    line = ",".join([f"%.{decimals}f"] * (table.shape[1] if table.ndim > 1 else 1)) + "\n"
    return line * len(table) % tuple(table.ravel().tolist())
