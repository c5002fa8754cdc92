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

    def box_rows(self) -> list[str]:
        """`x,y,w,h` of each frame, four decimals."""
        return [",".join(f"{number:.4f}" for number in box) for box in self.boxes.tolist()]

    def confidence_column(self) -> str:
        """Return a confidence a line, six decimals; the first line is blank, because the first box is given."""
        return "\n" + column(self.scores[1:])


def column(numbers: np.ndarray) -> str:
    """Return a number a line, six decimals."""
    return "".join(f"{number:.6f}\n" for number in numbers.tolist())


def lines(rows: list[str]) -> str:
    """Return rows as the content of a file."""
    return "".join(f"{row}\n" for row in rows)
