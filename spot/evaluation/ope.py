"""One-pass evaluation of result folders: every tracker runs once through every video."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import OPE_MEASURES, EvaluationResult, TrackerOutcome
from spot.evaluation.ground_truth import GroundTruth, truth_of
from spot.evaluation.measures import frames_per_second
from spot.evaluation.options import Options
from spot.evaluation.parallel import fork_map
from spot.evaluation.protocols import Protocol, default_protocol, get_protocol
from spot.evaluation.scoring import Scores, score
from spot.evaluation.statistics import bootstrap_intervals
from spot.results.loading import ResultFiles, check_missing, find_files, read_boxes, read_times, read_video
from spot.runtime.errors import SpotError

Predictions = Callable[[str, str], np.ndarray]
"""Tracker and video to (n, 4) boxes."""


def evaluate_one_pass(
    videos: VideoSet, benchmark: str, found: dict[str, Path], options: Options, cache: str | Path | None
) -> tuple[EvaluationResult, Predictions]:
    """EvaluationResult of the trackers in `found`, and what they predicted."""
    protocol = get_protocol(options.protocol or default_protocol(benchmark), options.exclude_invalid)
    truth = _truth(videos, benchmark, protocol)
    files = {name: find_files(name, folder, truth) for name, folder in found.items()}
    check_missing(list(files.values()), truth, options.missing)

    def evaluate(group: list[ResultFiles]) -> list[TrackerOutcome]:
        part = truth if not group[0].missing else truth.subset(list(group[0].boxes))
        scores = score(part, [read_boxes(one, part, cache) for one in group], protocol)
        rows = [_row(one, tracker, options) for one, tracker in zip(group, scores, strict=True)]
        if protocol.name == "got10k":
            for row, tracker in zip(rows, scores, strict=True):
                row.curves["overlap"] = tracker.overlap_curve
        return rows

    groups = _even_groups(list(files.values()))
    rows = [row for group in fork_map(evaluate, groups) for row in group]
    outcome = EvaluationResult(benchmark, protocol.name, protocol.source, OPE_MEASURES, rows)
    if options.attributes:
        _add_attributes(outcome, truth)
    if protocol.name == "got10k" and truth.frame_sizes is None:
        outcome.notes.append("Frame sizes are unknown, so boxes are not cut at the frame as the GOT-10k toolkit does.")
    return outcome, lambda tracker, video: read_video(files[tracker], video, len(videos[video]))


def _truth(videos: VideoSet, benchmark: str, protocol: Protocol) -> GroundTruth:
    sizes = None
    if protocol.name == "got10k":
        from spot.reporting.worst_videos import frame_sizes

        sizes = frame_sizes(videos)
    truth = truth_of(videos, benchmark, sizes)
    unknown = np.isnan(truth.boxes).any(axis=1)
    unknown[truth.offsets[:-1]] = True
    if unknown.all():
        raise SpotError(f"{benchmark} keeps its truth on a server; pack=true writes the zip to upload")
    return truth


def _even_groups(files: Sequence[ResultFiles]) -> list[list[ResultFiles]]:
    """Trackers with results for the same videos, which share the work on the truth, in a group for each core."""
    same: dict[tuple[str, ...], list[ResultFiles]] = {}
    for one in files:
        same.setdefault(one.missing, []).append(one)
    cores = os.cpu_count() or 1
    return [group[first::cores] for group in same.values() for first in range(min(cores, len(group)))]


def _row(files: ResultFiles, scores: Scores, options: Options) -> TrackerOutcome:
    row = TrackerOutcome(
        files.tracker,
        scores.summary(),
        scores.names,
        files.missing,
        scores.per_video(),
        {key: getattr(scores, key).mean(axis=0) for key in ("success", "precision", "normalized_precision")},
    )
    speed = frames_per_second(read_times(files))
    if speed is not None:
        row.values["fps"] = speed
    if options.bootstrap > 0:
        row.intervals = _intervals(scores, options)
    return row


def _intervals(scores: Scores, options: Options) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of all measures from the same resamples."""
    per_video = scores.per_video()
    one = np.ones(len(scores.names))
    present = (scores.present > 0).astype(float)
    columns = {key: (values, one) for key, values in per_video.items() if key not in ("ao", "sr50", "sr75")}
    columns["ao"] = (scores.overlap_sum, scores.present)
    columns["sr50"] = (scores.above_50, scores.present)
    columns["sr75"] = (scores.above_75, scores.present)
    columns |= {f"m{key}": (np.nan_to_num(per_video[key]), present) for key in ("ao", "sr50", "sr75")}
    sums, weights = (np.stack([column[i] for column in columns.values()], axis=1) for i in (0, 1))
    low, high = bootstrap_intervals(sums, weights, options.bootstrap, options.seed)
    return {key: (float(low[i]), float(high[i])) for i, key in enumerate(columns)}


def _add_attributes(outcome: EvaluationResult, truth: GroundTruth) -> None:
    """Mean of the main measure over the videos that have each attribute."""
    has = dict(zip(truth.names, truth.attributes, strict=True)) if truth.attributes else {}
    key = outcome.main.key
    for attribute in sorted({a for owned in has.values() for a in owned}):
        outcome.attribute_sizes[attribute] = sum(attribute in owned for owned in has.values())
        for row in outcome.trackers:
            chosen = np.array([attribute in has[video] for video in row.videos])
            if chosen.any():
                row.attributes[attribute] = float(row.per_video[key][chosen].mean())
