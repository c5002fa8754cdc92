"""All one-pass measures of many trackers in one pass over the frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spot.evaluation import measures
from spot.evaluation.binning import BINS, BLOCK, ERROR_BINS, FIRST_BIN, OVERLAP_BINS, Block, Buffers, Doubts
from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.measures import ERROR_THRESHOLDS, FINE_OVERLAP_THRESHOLDS, PRECISION_AT
from spot.evaluation.protocols import HIT, MEASURED, MISSED, FrameMask, Protocol
from spot.runtime.errors import SpotError


@dataclass(frozen=True, eq=False)
class Scores:
    """What one tracker scored on V videos.

    Attributes:
        names: of the videos.
        success: (V, 21) share of frames above each overlap threshold.
        overlap_curve: (101,) share of the present frames of all videos above each fine overlap threshold.
        precision: (V, 51) share of frames within each distance.
        normalized_precision: (V, 51) the same for distances in sizes of the true box.
        present: (V,) frames that average overlap is taken over: after the first, with the target visible.
        overlap_sum: (V,) sum of their overlaps.
        above_50, above_75: (V,) how many of them overlap by more than 0.5 and 0.75.
    """

    names: tuple[str, ...]
    success: np.ndarray
    overlap_curve: np.ndarray
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


def score(truth: GroundTruth, trackers: Sequence[np.ndarray], protocol: Protocol) -> list[Scores]:
    """Score trackers on the same videos.

    Args:
        truth: V videos, N frames.
        trackers: (N, 4) float64 boxes of each tracker, in the order of the truth; column-major is fastest.
        protocol: the dialect.

    Raises:
        SpotError: for boxes that hold NaN, and for a video without any frame to count.
    """
    prepared = [_prepare(protocol, boxes, truth) for boxes in trackers]
    videos = len(truth.names)
    histograms, sums = np.zeros((len(prepared), videos, BINS), np.int32), np.zeros((len(prepared), videos))
    frames, present = np.zeros(videos, np.int64), np.zeros(videos, np.int64)
    doubts: list[list[Doubts]] = [[] for _ in prepared]
    runs = list(_blocks(truth.offsets))
    buffers = Buffers(max((int(truth.offsets[run.stop] - truth.offsets[run.start]) for run in runs), default=0))
    for run in runs:
        part = truth.part(run)
        verdict = protocol.judge(part)
        counted = _counted(part, verdict)
        frames[run], present[run] = verdict.frames, part.per_video(counted)
        given = _given_bins(part, protocol, verdict)
        block = Block(buffers, part, int(truth.offsets[run.start]), protocol, counted, given)
        for t, boxes in enumerate(prepared):
            histograms[t, run], sums[t, run], unsure = block.stats(boxes)
            doubts[t].append(unsure)
    if len(empty := np.flatnonzero(frames == 0)):
        raise SpotError(
            f"{truth.benchmark}: video {truth.names[empty[0]]} has no annotated frame to count under "
            f"protocol={protocol.name}; leave it out or choose another protocol"
        )
    bounded = truth.frame_sizes is not None and protocol.name == "got10k"
    scores = []
    for t, boxes in enumerate(prepared):
        _settle(histograms[t], doubts[t], truth, boxes, protocol)
        left_out, counted, errors, normalized = np.split(histograms[t], FIRST_BIN[1:], axis=1)
        own, overlap_sums = _bounded(truth, boxes, protocol) if bounded else (counted, sums[t])
        above = measures.success_curve(own)
        scores.append(
            Scores(
                truth.names,
                measures.success_curve(left_out + counted)[:, ::5] / frames[:, None],
                above.sum(axis=0) / max(present.sum(), 1),
                measures.precision_curve(errors) / frames[:, None],
                measures.precision_curve(normalized) / frames[:, None],
                present,
                overlap_sums,
                above[:, 50],
                above[:, 75],
            )
        )
    return scores


def _counted(truth: GroundTruth, verdict: FrameMask) -> np.ndarray:
    """(n,) bool: the frames that average overlap is taken over."""
    counted = truth.visible & (verdict.overlap == MEASURED)
    counted[truth.offsets[:-1]] = False
    return counted


def _prepare(protocol: Protocol, boxes: np.ndarray, truth: GroundTruth) -> np.ndarray:
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


def _given_bins(truth: GroundTruth, protocol: Protocol, verdict: FrameMask) -> np.ndarray:
    """(3, n) int8: the bin of each measure where it is known without the tracker, else -1."""
    given = np.empty((3, len(truth.boxes)), np.int8)
    first = truth.offsets[:-1]
    for measure, state in enumerate((verdict.overlap, verdict.error, verdict.normalized)):
        best, worst = (OVERLAP_BINS - 1, 0) if measure == 0 else (0, ERROR_BINS - 1)
        given[measure] = np.int8(best) * (state == HIT) + np.int8(worst) * (state == MISSED)
        given[measure] -= state == MEASURED
        if protocol.first_is_true:
            bins = _exact_bins(measure, truth.boxes[first], truth.boxes[first], protocol)
            given[measure, first] = np.where(state[first] == MEASURED, bins, given[measure, first])
    return given


def _exact_bins(measure: int, truth: np.ndarray, boxes: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Bins of the dialect's own values."""
    values = _exact(measure, truth, boxes, protocol)
    return np.searchsorted(_thresholds(measure, protocol), np.where(np.isnan(values), 0, values))


def _thresholds(measure: int, protocol: Protocol) -> np.ndarray:
    return (FINE_OVERLAP_THRESHOLDS, ERROR_THRESHOLDS, protocol.normalized_thresholds)[measure]


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


def _settle(
    histogram: np.ndarray, doubts: Sequence[Doubts], truth: GroundTruth, boxes: np.ndarray, protocol: Protocol
) -> None:
    """Move the doubtful frames of one tracker to their exact bins."""
    together = Doubts(*(np.concatenate(part) for part in zip(*doubts, strict=True)))
    for measure in range(3):
        mine = together.measure == measure
        _, rows, first, old = (part[mine] for part in together)
        new = _exact_bins(measure, truth.boxes[rows], boxes[rows], protocol)
        video = np.searchsorted(truth.offsets, rows, side="right") - 1
        np.subtract.at(histogram, (video, first + old), 1)
        np.add.at(histogram, (video, first + new), 1)


def _bounded(truth: GroundTruth, boxes: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """(V, bins) histogram and (V,) sums of the overlaps that AO counts, of boxes bounded by the frame."""
    assert truth.frame_sizes is not None
    rows = np.flatnonzero(_counted(truth, protocol.judge(truth)))
    video = np.repeat(np.arange(len(truth.names)), truth.lengths)[rows]
    sizes = truth.frame_sizes[video]
    values = measures.overlap(
        measures.cut_as_got10k(truth.boxes[rows], sizes),
        measures.cut_as_got10k(boxes[rows], sizes),
        epsilon=measures.EPSILON,
    )
    bins = video * OVERLAP_BINS + np.searchsorted(FINE_OVERLAP_THRESHOLDS, values)
    histogram = np.bincount(bins, minlength=len(truth.names) * OVERLAP_BINS).reshape(-1, OVERLAP_BINS)
    return histogram, np.bincount(video, values, minlength=len(truth.names))
