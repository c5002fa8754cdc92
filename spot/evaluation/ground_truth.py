"""The truth of a benchmark in the form that measures want: flat float64 arrays over all videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spot.data.video import VideoSet


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Annotation of V videos with N frames in all.

    Attributes:
        benchmark: name of the benchmark.
        names: of the videos.
        offsets: (V + 1,) int64; rows `offsets[v]:offsets[v + 1]` are video v.
        boxes: (N, 4) float64 xywh, column-major; NaN where there is no annotation.
        visible: (N,) bool, the target is there to be seen.
        frame_sizes: (V, 2) width and height in pixels, where known.
        attributes: of each video.
    """

    benchmark: str
    names: tuple[str, ...]
    offsets: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray
    frame_sizes: np.ndarray | None = None
    attributes: tuple[tuple[str, ...], ...] = field(default=())

    @property
    def family(self) -> str:
        """`lasot` and `uav` where toolkits make an exception for the benchmark, else `other`."""
        name = self.benchmark.lower()
        return next((family for family in ("lasot", "uav") if name.startswith(family)), "other")

    @property
    def lengths(self) -> np.ndarray:
        """(V,) int64 frames of each video."""
        return np.diff(self.offsets)

    def per_video(self, flags: np.ndarray) -> np.ndarray:
        """(V,) sums of (N,) flags over each video."""
        total = np.concatenate([[0], np.cumsum(flags)])
        return total[self.offsets[1:]] - total[self.offsets[:-1]]

    def rows(self, name: str) -> slice:
        """Rows of the video of that name."""
        v = self.names.index(name)
        return slice(int(self.offsets[v]), int(self.offsets[v + 1]))

    def part(self, videos: slice) -> GroundTruth:
        """A run of videos; the arrays are views of these."""
        offsets = self.offsets[videos.start : videos.stop + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        return GroundTruth(
            self.benchmark, self.names[videos], offsets - offsets[0], self.boxes[rows], self.visible[rows]
        )

    def subset(self, names: Sequence[str]) -> GroundTruth:
        """Only these videos, in this order."""
        index = {name: v for v, name in enumerate(self.names)}
        chosen = np.array([index[name] for name in names], np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return GroundTruth(
            self.benchmark,
            tuple(names),
            offsets,
            np.asfortranarray(self.boxes[rows]),
            self.visible[rows],
            None if self.frame_sizes is None else self.frame_sizes[chosen],
            tuple(self.attributes[v] for v in chosen) if self.attributes else (),
        )


def truth_of(videos: VideoSet, benchmark: str, frame_sizes: np.ndarray | None = None) -> GroundTruth:
    """The truth of the videos of a benchmark."""
    return GroundTruth(
        benchmark,
        tuple(videos.names),
        videos.offsets,
        np.asfortranarray(as_written(videos.boxes)),
        np.asarray(videos.visible),
        frame_sizes,
        attributes=tuple(tuple(videos.extras.get(name, {}).get("attributes") or ()) for name in videos.names),
    )


def as_written(boxes: np.ndarray) -> np.ndarray:
    """float64 of the decimal numbers that were once read into these float32 boxes.

    A result file that repeats the annotation's text must lie at distance 0, not at the rounding error of float32; so
    each number becomes the shortest decimal that rounds to it.
    """
    boxes = np.asarray(boxes)
    exact = boxes.astype(np.float64)
    if boxes.dtype != np.float32:
        return exact
    rough = np.flatnonzero((np.rint(exact) != exact).ravel() & np.isfinite(exact).ravel())
    flat, stored = exact.ravel(), boxes.ravel()
    for digits in range(1, 7):
        if not len(rough):
            break
        decimal = np.round(stored[rough].astype(np.float64), digits)
        found = decimal.astype(np.float32) == stored[rough]
        flat[rough[found]] = decimal[found]
        rough = rough[~found]
    return flat.reshape(boxes.shape)
