"""All one-pass measures of many trackers in one pass over the frames.

Block by block (so that what is computed lies in the cache) each frame is put into one bin per measure: how many overlap
thresholds it passes, which distance threshold it meets first. One histogram a video holds everything that the curves
need. The bin is found in single precision from evenly spaced thresholds; the few frames that lie within rounding of a
threshold are settled with the exact formulas of `measures.py`, so every number is the toolkits' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spot.errors import SpotError
from spot.evaluation import measures
from spot.evaluation.measures import ERROR_THRESHOLDS, OVERLAP_THRESHOLDS, PRECISION_AT
from spot.evaluation.protocols import HIT, MEASURED, MISSED, Protocol
from spot.evaluation.truth import Truth

BLOCK = 16384
"""Frames a block, about: larger blocks leave the cache, smaller ones spend their time in calls."""
OVERLAP_BINS, ERROR_BINS = len(OVERLAP_THRESHOLDS) + 1, len(ERROR_THRESHOLDS) + 1
DOUBT = 3e-5
"""Distance from a threshold, in thresholds, within which single precision is not trusted."""
# A histogram row: overlaps of frames that AO leaves out, overlaps of those it counts, then the two errors.
FIRST_BIN = (0, OVERLAP_BINS, 2 * OVERLAP_BINS, 2 * OVERLAP_BINS + ERROR_BINS)
BINS = 2 * OVERLAP_BINS + 2 * ERROR_BINS


@dataclass(frozen=True, eq=False)
class Scores:
    """What one tracker scored on V videos.

    Attributes:
        names: of the videos.
        success: (V, 21) share of frames above each overlap threshold.
        precision: (V, 51) share of frames within each distance.
        normalized_precision: (V, 51) the same for distances in sizes of the true box.
        present: (V,) frames that average overlap is taken over: after the first, with the target visible.
        overlap_sum: (V,) sum of their overlaps.
        above_50, above_75: (V,) how many of them overlap by more than 0.5 and 0.75.
    """

    names: tuple[str, ...]
    success: np.ndarray
    precision: np.ndarray
    normalized_precision: np.ndarray
    present: np.ndarray
    overlap_sum: np.ndarray
    above_50: np.ndarray
    above_75: np.ndarray

    def per_video(self) -> dict[str, np.ndarray]:
        """(V,) of each measure; NaN where a video has no frame with the target after the first."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "success": self.success.mean(axis=1),
                "precision": self.precision[:, PRECISION_AT],
                "normalized_precision": self.normalized_precision[:, PRECISION_AT],
                "normalized_precision_auc": self.normalized_precision.mean(axis=1),
                "ao": self.overlap_sum / self.present,
                "sr50": self.above_50 / self.present,
                "sr75": self.above_75 / self.present,
            }

    def summary(self) -> dict[str, float]:
        """Fractions of 1: means over the videos, but `ao`, `sr50`, `sr75` over all frames as the GOT-10k toolkit does.

        `mao`, `msr50` and `msr75` are the means over the videos of those three.
        """
        videos = self.per_video()
        frames = self.present.sum()
        over_frames = {
            "ao": self.overlap_sum.sum() / frames if frames else np.nan,
            "sr50": self.above_50.sum() / frames if frames else np.nan,
            "sr75": self.above_75.sum() / frames if frames else np.nan,
        }
        means = {k: videos[k].mean() for k in videos if k not in over_frames}
        with_target = self.present > 0
        balanced = {
            f"m{k}": videos[k][with_target].mean() if with_target.any() else np.nan for k in ("ao", "sr50", "sr75")
        }
        return {k: float(v) for k, v in {**means, **over_frames, **balanced}.items()}


def score(truth: Truth, trackers: Sequence[np.ndarray], protocol: Protocol) -> list[Scores]:
    """Score trackers on the same videos.

    Args:
        truth: V videos, N frames.
        trackers: (N, 4) float64 boxes of each tracker, in the order of the truth; column-major is fastest.
        protocol: the dialect.

    Raises:
        SpotError: for boxes that are not finite, and for a video without any frame to count.
    """
    prepared = [_prepare(protocol, boxes, truth) for boxes in trackers]
    verdict = protocol.judge(truth)
    if len(empty := np.flatnonzero(verdict.frames == 0)):
        raise SpotError(
            f"{truth.benchmark}: video {truth.names[empty[0]]} has no annotated frame to count under "
            f"protocol={protocol.name}; leave it out or choose another protocol"
        )
    present = truth.visible & (verdict.overlap == MEASURED)
    present[truth.offsets[:-1]] = False
    given = _given_bins(truth, protocol, verdict.overlap, verdict.error, verdict.normalized)
    histograms = np.zeros((len(prepared), len(truth.names), BINS), np.int64)
    sums = np.zeros((len(prepared), len(truth.names)))
    for videos in _blocks(truth.offsets):
        _score_block(truth, videos, prepared, protocol, present, given, histograms, sums)
    if truth.frame_sizes is not None and protocol.name == "got10k":
        return [
            _scores(truth, histograms[t], verdict.frames, present, *_bounded(truth, boxes, present))
            for t, boxes in enumerate(prepared)
        ]
    return [_scores(truth, histograms[t], verdict.frames, present, sums[t]) for t in range(len(prepared))]


def _prepare(protocol: Protocol, boxes: np.ndarray, truth: Truth) -> np.ndarray:
    """Apply what the dialect does to predictions before it looks at any truth."""
    if boxes.shape != truth.boxes.shape:
        raise SpotError(f"{truth.benchmark}: {len(boxes)} predicted rows for {len(truth.boxes)} true ones")
    if not protocol.repeat_empty:
        return boxes
    empty = (boxes[:, 2:] <= 0).any(axis=1) & ~np.isnan(truth.boxes).any(axis=1)
    if not empty.any():
        return boxes
    if (boxes[:, 2:] < 0).any():
        v = np.searchsorted(truth.offsets, np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))[0], side="right") - 1
        raise SpotError(f"{truth.names[v]}: negative box size, which protocol={protocol.name} refuses")
    empty[truth.offsets[:-1]] = False
    return np.asfortranarray(boxes[np.maximum.accumulate(np.where(empty, 0, np.arange(len(boxes))))])


def _given_bins(truth: Truth, protocol: Protocol, *states: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows whose bin is known without the tracker, and that bin, for each of the three measures."""
    first = truth.offsets[:-1]
    given = []
    for measure, state in enumerate(states):
        bins = np.full(len(state), -1, np.int32)
        if protocol.first_is_true:
            boxes = truth.boxes[first]
            values = _exact(measure, boxes, boxes, protocol)
            bins[first] = np.searchsorted(_thresholds(measure, protocol), np.nan_to_num(values))
        last = ERROR_BINS - 1
        bins[state == HIT] = 0 if measure else OVERLAP_BINS - 1
        bins[state == MISSED] = last if measure else 0
        rows = np.flatnonzero(bins >= 0)
        given.append((rows, bins[rows]))
    return given


def _thresholds(measure: int, protocol: Protocol) -> np.ndarray:
    return (OVERLAP_THRESHOLDS, ERROR_THRESHOLDS, protocol.normalized_thresholds)[measure]


def _exact(measure: int, truth: np.ndarray, boxes: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The dialect's own value of one of the three measures."""
    if measure == 0:
        return measures.overlap(truth, boxes, protocol.inclusive, protocol.union_epsilon, protocol.clip)
    if measure == 1:
        return measures.center_error(truth, boxes)
    return measures.normalized_center_error(truth, boxes, protocol.size_epsilon, protocol.least_size)


def _blocks(offsets: np.ndarray) -> Iterator[slice]:
    """Runs of whole videos of about `BLOCK` frames."""
    start = 0
    while start < len(offsets) - 1:
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + BLOCK, side="right")) - 1)
        yield slice(start, stop)
        start = stop


def _score_block(
    truth: Truth,
    videos: slice,
    trackers: Sequence[np.ndarray],
    protocol: Protocol,
    present: np.ndarray,
    given: list[tuple[np.ndarray, np.ndarray]],
    histograms: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Fill `histograms[:, videos]` and `sums[:, videos]` (arrays as in `score`)."""
    offsets = truth.offsets[videos.start : videos.stop + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    count = len(offsets) - 1
    n = rows.stop - rows.start
    true = np.nan_to_num(truth.boxes[rows].T)
    corners, sizes = true[:2], true[2:]
    last = 1.0 if protocol.inclusive else 0.0
    ends = corners + sizes - last
    areas = sizes[0] * sizes[1] + measures.EPSILON
    middles = corners + (sizes - 1) / 2
    with np.errstate(divide="ignore", over="ignore"):
        per_size = 100 / np.maximum(sizes, protocol.least_size or 1e-16)
    per_size = np.minimum(per_size, 1e12).astype(np.float32)
    counted = present[rows]
    weights = counted.astype(np.float64)
    base = np.repeat(np.arange(count, dtype=np.int32) * BINS, np.diff(offsets))
    base = base + np.array([[0], [FIRST_BIN[2]], [FIRST_BIN[3]]], np.int32)
    base[0] += counted * np.int32(FIRST_BIN[1])
    fixed = [_within(r, b, rows) for r, b in given]
    starts = offsets[:-1] - offsets[0]

    a, b, union, zero = np.empty((2, n)), np.empty((2, n)), np.empty(n), np.zeros((2, n))
    guess, upper = np.empty((3, n), np.float32), np.empty((3, n), np.float32)
    scaled, bins = np.empty((2, n), np.float32), np.empty((3, n), np.int32)
    for t, boxes in enumerate(trackers):
        predicted = boxes[rows].T
        corner, size = predicted[:2], predicted[2:]
        # overlap
        np.add(corner, size, out=a)
        if protocol.inclusive:
            a -= 1
        np.minimum(a, ends, out=a)
        np.maximum(corner, corners, out=b)
        a -= b
        if protocol.inclusive:
            a += 1
        np.maximum(a, zero, out=a)
        shared = np.multiply(a[0], a[1], out=a[0])
        np.multiply(size[0], size[1], out=union)
        union += areas
        union -= shared
        shared /= union
        np.copyto(guess[0], shared, casting="unsafe")
        guess[0] *= 20
        shared *= weights
        sums[t, videos] = np.add.reduceat(shared, starts)
        # centre errors
        np.subtract(size, 1, out=b)
        b *= 0.5
        b += corner
        b -= middles
        np.copyto(scaled, b, casting="unsafe")
        np.multiply(scaled, scaled, out=upper[:2])
        np.add(upper[0], upper[1], out=guess[1])
        scaled *= per_size
        scaled *= scaled
        np.add(scaled[0], scaled[1], out=guess[2])
        np.sqrt(guess[1:], out=guess[1:])
        # bins
        np.minimum(guess, 50.5, out=guess)
        np.ceil(guess, out=upper)
        np.copyto(bins, upper, casting="unsafe")
        upper -= guess
        upper -= 0.5
        np.abs(upper, out=upper)
        doubtful = upper > 0.5 - DOUBT
        doubtful &= guess > 0  # nothing in common, or no distance at all, is exact
        _settle(doubtful, bins, truth.boxes[rows], boxes[rows], protocol)
        for measure, (fixed_rows, fixed_bins) in enumerate(fixed):
            bins[measure, fixed_rows] = fixed_bins
        bins += base
        histograms[t, videos] = np.bincount(bins.ravel(), minlength=count * BINS).reshape(count, BINS)
    if not np.isfinite(sums[:, videos]).all():
        v = videos.start + int(np.flatnonzero(~np.isfinite(sums[:, videos]).all(axis=0))[0])
        raise SpotError(f"{truth.names[v]}: a predicted box is not finite")


def _within(rows: np.ndarray, values: np.ndarray, block: slice) -> tuple[np.ndarray, np.ndarray]:
    first, last = np.searchsorted(rows, [block.start, block.stop])
    return rows[first:last] - block.start, values[first:last]


def _settle(doubtful: np.ndarray, bins: np.ndarray, truth: np.ndarray, boxes: np.ndarray, protocol: Protocol) -> None:
    """Replace the bins of the (3, n) doubtful entries by exact ones."""
    for measure in range(3):
        if len(rows := np.flatnonzero(doubtful[measure])):
            values = _exact(measure, truth[rows], boxes[rows], protocol)
            bins[measure, rows] = np.searchsorted(_thresholds(measure, protocol), np.nan_to_num(values))


def _bounded(truth: Truth, boxes: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per video: sum of overlaps of boxes bounded by the frame, and how many are above 0.5 and 0.75."""
    assert truth.frame_sizes is not None
    rows = np.flatnonzero(present)
    video = np.repeat(np.arange(len(truth.names)), truth.lengths)[rows]
    sizes = truth.frame_sizes[video]
    values = measures.overlap(
        measures.cut_as_got10k(truth.boxes[rows], sizes),
        measures.cut_as_got10k(boxes[rows], sizes),
        epsilon=measures.EPSILON,
    )

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(video, weights, minlength=len(truth.names))

    return total(values), total(values > 0.5), total(values > 0.75)


def _scores(
    truth: Truth,
    histogram: np.ndarray,
    frames: np.ndarray,
    present: np.ndarray,
    overlap_sum: np.ndarray,
    above_50: np.ndarray | None = None,
    above_75: np.ndarray | None = None,
) -> Scores:
    left_out, counted, errors, normalized = np.split(histogram, FIRST_BIN[1:], axis=1)
    above = measures.success_curve(counted)
    return Scores(
        truth.names,
        measures.success_curve(left_out + counted) / frames[:, None],
        measures.precision_curve(errors) / frames[:, None],
        measures.precision_curve(normalized) / frames[:, None],
        truth.per_video(present),
        overlap_sum,
        above[:, 10] if above_50 is None else above_50,
        above[:, 15] if above_75 is None else above_75,
    )
