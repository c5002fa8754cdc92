"""One-pass evaluation (OPE): the tracker starts in the first frame and is never restarted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from spot.evaluation import measures
from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.measures import ERROR_THRESHOLDS, FINE_OVERLAP_THRESHOLDS, OVERLAP_THRESHOLDS, PRECISION_AT
from spot.evaluation.protocols import HIT, MEASURED, Protocol
from spot.runtime.errors import SpotError


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one tracker on V videos.

    Attributes:
        names: names of the videos.
        success: (V, 21) fraction of frames above each overlap threshold.
        precision: (V, 51) fraction of frames within each distance in pixels.
        normalized_precision: (V, 51) the same for distances in sizes of the true box.
        present: (V,) number of frames that average overlap counts: after the first, with the target visible.
        overlap_sum: (V,) sum of their overlaps.
        above: (V, 101) how many of them are above each fine overlap threshold (0, 0.01, ... 1).
    """

    names: tuple[str, ...]
    success: np.ndarray
    precision: np.ndarray
    normalized_precision: np.ndarray
    present: np.ndarray
    overlap_sum: np.ndarray
    above: np.ndarray

    @property
    def overlap_curve(self) -> np.ndarray:
        """(101,) fraction of the counted frames of all videos above each fine overlap threshold."""
        return self.above.sum(axis=0) / max(self.present.sum(), 1)

    def sums(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Give each measure as a ratio of sums over videos: (V,) value times weight, and (V,) weight.

        A mean over videos has weight 1 a video; `ao`, `sr50` and `sr75` are means over all frames, as the GOT-10k toolkit
        makes them; `mao`, `msr50` and `msr75` are the means over videos of those three.
        """
        one, known = np.ones(len(self.names)), (self.present > 0).astype(float)
        frames = {"ao": self.overlap_sum, "sr50": self.above[:, 50], "sr75": self.above[:, 75]}
        means = {key: (values, one) for key, values in self.per_video().items() if key not in frames}
        pooled = {key: (values, self.present) for key, values in frames.items()}
        balanced = {f"m{key}": (values / np.maximum(self.present, 1), known) for key, values in frames.items()}
        return means | pooled | balanced

    def joined(self) -> Scores:
        """Join the rows of one name, which are repetitions: fractions are averaged, counted frames added up."""
        names = tuple(dict.fromkeys(self.names))
        if len(names) == len(self.names):
            return self
        rows = [[i for i, other in enumerate(self.names) if other == name] for name in names]
        means = (
            np.array([a[r].mean(axis=0) for r in rows])
            for a in (self.success, self.precision, self.normalized_precision)
        )
        sums = (np.array([a[r].sum(axis=0) for r in rows]) for a in (self.present, self.overlap_sum, self.above))
        return Scores(names, *means, *sums)

    def per_video(self) -> dict[str, np.ndarray]:
        """Return (V,) of each measure; NaN where a video has no frame with the target after the first."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "success": self.success.mean(axis=1),
                "precision": self.precision[:, PRECISION_AT],
                "normalized_precision": self.normalized_precision[:, PRECISION_AT],
                "normalized_precision_auc": self.normalized_precision.mean(axis=1),
                "ao": self.overlap_sum / self.present,
                "sr50": self.above[:, 50] / self.present,
                "sr75": self.above[:, 75] / self.present,
            }

    def summary(self) -> dict[str, float]:
        """Give every measure over all videos, as a fraction of 1; NaN where nothing counts."""
        return {k: float(s.sum() / w.sum()) if w.sum() else float("nan") for k, (s, w) in self.sums().items()}


def score(truth: GroundTruth, boxes: np.ndarray, protocol: Protocol) -> Scores:
    """Score one tracker.

    Args:
        truth: V videos, N frames; a name occurs several times for repetitions, see `Scores.joined`.
        boxes: (N, 4) predicted boxes xywh in pixels, in the order of the truth.
        protocol: the rules of a toolkit.

    Raises:
        SpotError: boxes that hold NaN or are not as many as the true ones; a video without any frame to count.
    """
    boxes = _prepared(truth, boxes, protocol)
    mask = protocol.frame_mask(truth)
    if len(empty := np.flatnonzero(mask.frames == 0)):
        raise SpotError(
            f"{truth.benchmark}: video {truth.names[empty[0]]} has no annotated frame to count under "
            f"protocol={protocol.name}; leave it out or choose another protocol"
        )
    overlaps = measures.overlap(truth.boxes, boxes, protocol.inclusive, protocol.union_epsilon, protocol.clip)
    errors = measures.center_error(truth.boxes, boxes)
    scaled = measures.normalized_center_error(truth.boxes, boxes, protocol.size_epsilon, protocol.least_size)
    # a frame is within a distance where the negative distance is not below the negative threshold
    success = _count(_masked(overlaps, mask.overlap), np.greater, OVERLAP_THRESHOLDS, truth)
    near = _count(_masked(-errors, mask.error), np.greater_equal, -ERROR_THRESHOLDS, truth)
    close = _count(_masked(-scaled, mask.normalized), np.greater_equal, -protocol.normalized_thresholds, truth)
    counted = truth.visible & (mask.overlap == MEASURED)
    counted[truth.offsets[:-1]] = False
    shown = _inside_frame(truth, boxes) if protocol.bounded and truth.frame_sizes is not None else overlaps
    shown = np.nan_to_num(shown)  # a predicted box of negative size can make the union zero
    frames = mask.frames[:, None]
    return Scores(
        truth.names,
        success / frames,
        near / frames,
        close / frames,
        truth.per_video(counted),
        truth.per_video(np.where(counted, shown, 0)),
        _count(np.where(counted, shown, -np.inf), np.greater, FINE_OVERLAP_THRESHOLDS, truth),
    )


def _prepared(truth: GroundTruth, boxes: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Apply what the toolkit does to predictions before it looks at any truth."""
    if boxes.shape != truth.boxes.shape:
        raise SpotError(f"{truth.benchmark}: {len(boxes)} predicted rows for {len(truth.boxes)} true ones")
    boxes, first = np.array(boxes, np.float64), truth.offsets[:-1]
    if (bad := np.flatnonzero(np.isnan(boxes).any(axis=1))).size:
        raise SpotError(f"{_video_of(truth, bad[0])}: a predicted box is not a number")
    if protocol.repeat_empty:
        empty = (boxes[:, 2:] <= 0).any(axis=1) & ~np.isnan(truth.boxes).any(axis=1)
        if empty.any() and (bad := np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))).size:
            raise SpotError(f"{_video_of(truth, bad[0])}: negative box size, which protocol={protocol.name} refuses")
        empty[first] = False
        boxes = boxes[np.maximum.accumulate(np.where(empty, 0, np.arange(len(boxes))))]
    if protocol.first_is_true:
        boxes[first] = truth.boxes[first]
    return boxes


def _video_of(truth: GroundTruth, row: int) -> str:
    return truth.names[int(np.searchsorted(truth.offsets, row, side="right")) - 1]


def _masked(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Measured values; far above or below all thresholds where the truth alone decides."""
    return np.where(mask == MEASURED, np.nan_to_num(values), np.where(mask == HIT, np.inf, -np.inf))


def _count(values: np.ndarray, compare: np.ufunc, thresholds: np.ndarray, truth: GroundTruth) -> np.ndarray:
    """Return (V, t) frames of each video whose value passes each threshold."""
    rows = itertools.pairwise(truth.offsets.tolist())
    return np.array([compare(values[a:b, None], thresholds).sum(axis=0) for a, b in rows])


def _inside_frame(truth: GroundTruth, boxes: np.ndarray) -> np.ndarray:
    """Return (N,) overlaps of boxes that are bounded by the frame, as the GOT-10k toolkit makes them for AO."""
    assert truth.frame_sizes is not None
    sizes = np.repeat(truth.frame_sizes, truth.lengths, axis=0)
    true, predicted = (measures.cut_as_got10k(b, sizes) for b in (truth.boxes, boxes))
    return measures.overlap(true, predicted, epsilon=measures.EPSILON)
