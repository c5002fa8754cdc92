"""One-pass evaluation of result folders: every tracker runs once through every video, or several times (repetitions)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spot.data.frame_sizes import frame_sizes
from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import OPE_MEASURES, EvaluationResult, TrackerOutcome
from spot.evaluation.ground_truth import GroundTruth, as_written
from spot.evaluation.measures import frames_per_second
from spot.evaluation.one_pass import Scores, score
from spot.evaluation.protocols import Protocol, default_protocol, get_protocol
from spot.evaluation.statistics import bootstrap_interval
from spot.reporting.options import Options
from spot.results import got10k_files, plain_files
from spot.results.searching import ResultFiles, check_missing, find_files
from spot.results.server_zips import server_of
from spot.runtime.errors import SpotError

Predictions = Callable[[str, str], np.ndarray]
"""Tracker and video to (n, 4) boxes."""
LONGER_IN_THE_FIELD = {"monkey-17"}
"""LaSOT videos for which many published results have more rows than the annotation. All toolkits cut them."""


@dataclass
class Lengths:
    """Result files whose rows do not fit the video, by what was done about them."""

    cut: list[str] = field(default_factory=list)
    padded: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)

    def notes(self, tracker: str) -> list[str]:
        """Return one sentence for each kind."""
        told = (
            (self.cut, "more rows than frames: the extra rows are cut"),
            (self.padded, "fewer rows than frames: filled up with empty boxes, which fail"),
            (self.shortened, "fewer rows than frames: frames without a row are left out"),
        )
        return [
            f"{tracker}: {len(files)} result files have {what} (the first: {files[0]})."
            for files, what in told
            if files
        ]


def evaluate_ope(
    videos: VideoSet, benchmark: str, found: dict[str, Path], options: Options
) -> tuple[EvaluationResult, Predictions]:
    """Evaluate the trackers in `found`; return the result and what they predicted."""
    protocol = get_protocol(options.protocol or default_protocol(benchmark), options.exclude_invalid)
    truth = _known_truth(videos, benchmark, protocol)
    outcome = EvaluationResult(benchmark, protocol.name, protocol.source, OPE_MEASURES, [])
    files = {name: find_files(name, folder, truth.names, benchmark) for name, folder in found.items()}
    for one in files.values():
        check_missing(one, options.missing)
        lengths = Lengths()
        outcome.trackers.append(_row(one, _scores(one, truth, protocol, lengths), protocol, options))
        outcome.notes += lengths.notes(one.tracker)
    outcome.sort()
    if options.attributes:
        _add_attributes(outcome, truth)
    if protocol.bounded and truth.frame_sizes is None:
        outcome.notes.append("Frame sizes are unknown, so boxes are not cut at the frame as the GOT-10k toolkit does.")
    return outcome, lambda tracker, video: read_video(files[tracker], video, len(videos[video]))


def truth_of(videos: VideoSet, benchmark: str, frame_sizes: np.ndarray | None = None) -> GroundTruth:
    """Give the annotation of a benchmark as arrays."""
    attributes = [tuple(videos.extras.get(name, {}).get("attributes") or ()) for name in videos.names]
    boxes, visible = as_written(videos.boxes), np.asarray(videos.visible)
    return GroundTruth(
        benchmark, tuple(videos.names), videos.offsets, boxes, visible, frame_sizes, attributes=tuple(attributes)
    )


def read_video(files: ResultFiles, video: str, frames: int) -> np.ndarray:
    """Read (frames, 4) float64 boxes of one video, of its first repetition; NaN in frames without a row."""
    boxes = plain_files.read_boxes(files.boxes[video][0])[:frames]
    return np.concatenate([boxes, np.full((frames - len(boxes), 4), np.nan)])


def speed_of(files: ResultFiles) -> float | None:
    """Return frames per second from the times beside the results: the mean of 1 / t; None where there are no times."""
    seconds = [got10k_files.read_seconds(path).ravel() for path in files.times.values()]
    return frames_per_second(np.concatenate(seconds)) if seconds else None


def _known_truth(videos: VideoSet, benchmark: str, protocol: Protocol) -> GroundTruth:
    truth = truth_of(videos, benchmark, frame_sizes(videos) if protocol.bounded else None)
    unknown = np.isnan(truth.boxes).any(axis=1)
    unknown[truth.offsets[:-1]] = True
    if unknown.all():
        if server_of(benchmark) is None:
            raise SpotError(
                f"{benchmark}: no frame has a box but the first one of each video; annotate more to evaluate"
            )
        raise SpotError(f"the annotation of {benchmark} is on a server; pack=true writes the zip to upload")
    return truth


def _scores(files: ResultFiles, truth: GroundTruth, protocol: Protocol, lengths: Lengths) -> Scores:
    """Return scores over the tracker's videos; every repetition is evaluated like a video, then they are joined."""
    runs = [(video, path) for video, paths in files.boxes.items() for path in paths]
    part = truth.subset([video for video, _ in runs])
    frames = part.lengths.tolist()
    boxes = np.concatenate(
        [_fitted(path, v, n, part, protocol, lengths) for (v, path), n in zip(runs, frames, strict=True)]
    )
    if (absent := np.isnan(boxes).any(axis=1)).any():  # frames without a row, which the toolkit leaves out
        part = replace(part, boxes=np.where(absent[:, None], np.nan, part.boxes))
    return score(part, np.nan_to_num(boxes), protocol).joined()


def _fitted(
    path: Path, video: str, frames: int, truth: GroundTruth, protocol: Protocol, lengths: Lengths
) -> np.ndarray:
    """Return (frames, 4) boxes of one file; extra or missing rows are treated as the protocol's toolkit does."""
    boxes = plain_files.read_boxes(path)
    extra = len(boxes) - frames
    tolerant = protocol.lengths
    if truth.family == "lasot" and tolerant == "cut_or_pad" and extra < 0:
        tolerant = "exact"  # pytracking refuses short results of LaSOT alone
    if protocol.name == "got10k" and truth.benchmark.lower().startswith("got"):
        tolerant = "exact"  # the GOT-10k toolkit cuts results of other benchmarks only
    if extra and tolerant == "exact" and not (extra > 0 and video in LONGER_IN_THE_FIELD):
        remedy = "" if protocol.lengths != "exact" else "; protocol=pytracking or got10k cuts or fills up such files"
        raise SpotError(f"{path}: {len(boxes)} rows, but video {video} has {frames} frames{remedy}")
    if extra > 0:
        lengths.cut.append(path.name)
    elif extra < 0:
        (lengths.padded if tolerant == "cut_or_pad" else lengths.shortened).append(path.name)
        fill = 0.0 if tolerant == "cut_or_pad" else np.nan
        boxes = np.concatenate([boxes, np.full((-extra, 4), fill)])
    return boxes[:frames]


def _row(files: ResultFiles, scores: Scores, protocol: Protocol, options: Options) -> TrackerOutcome:
    row = TrackerOutcome(files.tracker, scores.summary(), scores.names, files.missing)
    row.repetitions = max(len(paths) for paths in files.boxes.values())
    row.per_video = scores.per_video()
    row.curves = {key: getattr(scores, key).mean(axis=0) for key in ("success", "precision", "normalized_precision")}
    if protocol.bounded:
        row.curves["overlap"] = scores.overlap_curve
    if (speed := speed_of(files)) is not None:
        row.values["fps"] = speed
    if options.bootstrap > 0:
        row.intervals = {
            key: bootstrap_interval(sums, weights, options.bootstrap, options.seed)
            for key, (sums, weights) in scores.sums().items()
        }
    return row


def _add_attributes(outcome: EvaluationResult, truth: GroundTruth) -> None:
    """Average the main measure over the videos that have each attribute."""
    has = dict(zip(truth.names, truth.attributes, strict=True)) if truth.attributes else {}
    key = outcome.main.key
    for attribute in sorted({a for owned in has.values() for a in owned}):
        outcome.attribute_sizes[attribute] = sum(attribute in owned for owned in has.values())
        for row in outcome.trackers:
            chosen = np.array([attribute in has[video] for video in row.videos])
            if chosen.any():
                row.attributes[attribute] = float(row.per_video[key][chosen].mean())
