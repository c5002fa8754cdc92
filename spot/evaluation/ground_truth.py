"""The ground truth of a benchmark in the form that measures need: flat float64 arrays over all videos."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Annotation of V videos with N frames in all.

    Attributes:
        benchmark: name of the benchmark.
        names: names of the videos.
        offsets: (V + 1,) int64; rows `offsets[v]:offsets[v + 1]` are video v.
        boxes: (N, 4) float64 xywh in pixels; NaN where there is no annotation.
        visible: (N,) bool, the target can be seen.
        frame_sizes: (V, 2) width and height in pixels; None where they are unknown.
        attributes: attribute names of each video; empty where the benchmark has none.
    """

    benchmark: str
    names: tuple[str, ...]
    offsets: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray
    frame_sizes: np.ndarray | None = None
    attributes: tuple[tuple[str, ...], ...] = ()

    @property
    def family(self) -> str:
        """`lasot`, `lasot_ext` or `uav` where toolkits make an exception for the benchmark, else `other`."""
        name = self.benchmark.lower().replace("-", "_")
        if name.startswith("lasot"):
            return "lasot_ext" if "ext" in name else "lasot"
        return "uav" if name.startswith("uav") else "other"

    @property
    def lengths(self) -> np.ndarray:
        """(V,) int64, frames of each video."""
        return np.diff(self.offsets)

    def per_video(self, values: np.ndarray) -> np.ndarray:
        """Sum (N,) values over each video: (V,)."""
        return np.array([values[a:b].sum() for a, b in itertools.pairwise(self.offsets.tolist())])

    def subset(self, names: Sequence[str]) -> GroundTruth:
        """Keep only these videos, in this order."""
        if tuple(names) == self.names:
            return self
        chosen = [self.names.index(name) for name in names]
        rows = np.concatenate([np.arange(self.offsets[v], self.offsets[v + 1]) for v in chosen] or [np.zeros(0, int)])
        return replace(
            self,
            names=tuple(names),
            offsets=np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64),
            boxes=self.boxes[rows],
            visible=self.visible[rows],
            frame_sizes=None if self.frame_sizes is None else self.frame_sizes[chosen],
            attributes=tuple(self.attributes[v] for v in chosen) if self.attributes else (),
        )


def as_written(boxes: np.ndarray) -> np.ndarray:
    """Give float64 of the decimal numbers that were once read into these float32 boxes.

    A result file that repeats the annotation's text must have distance 0, not the rounding error of float32. So each
    number becomes the shortest decimal that rounds to it.

    Example:
        >>> float(as_written(np.array([[285.12, 0, 1, 1]], np.float32))[0, 0])
        285.12
    """
    boxes = np.asarray(boxes)
    exact = boxes.astype(np.float64)
    if boxes.dtype != np.float32:
        return exact
    rough = np.flatnonzero((np.rint(exact) != exact).ravel() & np.isfinite(exact).ravel())
    flat, stored = exact.ravel(), boxes.ravel()
    for digits in range(1, 7):
        decimal = np.round(stored[rough].astype(np.float64), digits)
        found = decimal.astype(np.float32) == stored[rough]
        flat[rough[found]] = decimal[found]
        rough = rough[~found]
    return flat.reshape(boxes.shape)
