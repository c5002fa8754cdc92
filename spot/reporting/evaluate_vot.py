"""Evaluate VOT result folders: supervised runs with restarts, and long-term runs with confidences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.data.frame_sizes import frame_sizes
from spot.data.video import Video, VideoSet
from spot.evaluation.evaluation_result import VOT_LT_MEASURES, VOT_MEASURES, EvaluationResult, TrackerOutcome
from spot.evaluation.ground_truth import as_written
from spot.evaluation.vot.long_term import long_term_scores
from spot.evaluation.vot.regions import raster_overlap
from spot.evaluation.vot.supervised import (
    INITIALISED,
    Run,
    accuracy_robustness,
    expected_average_overlap,
    expected_overlap,
)
from spot.reporting.evaluate_ope import Lengths, Predictions, speed_of
from spot.reporting.options import Options
from spot.results.searching import ResultFiles, check_missing, find_files
from spot.results.vot_files import LONG_TERM, SUPERVISED, corner_points, home, read_confidences, read_run
from spot.runtime.errors import SpotError

BOUND_NOTES = {
    "frame": "Regions are cut at the frame.",
    "polygons": "Regions are cut at the largest coordinates of each video's true regions, the published way without frames.",
    "none": "Regions are cut at the frame's left and top edges only.",
}


def evaluate_vot(
    videos: VideoSet, benchmark: str, found: dict[str, Path], options: Options, long_term: bool
) -> tuple[EvaluationResult, Predictions]:
    """Evaluate the trackers in `found`; return the result and the boxes around the regions that they reported."""
    result_format = LONG_TERM if long_term else SUPERVISED
    source = "VOT's long-term toolkit" if long_term else "VOT's supervised toolkit"
    outcome = EvaluationResult(benchmark, result_format, source, VOT_LT_MEASURES if long_term else VOT_MEASURES, [])
    truth = _Truth(videos, options.bounds)
    first: dict[str, dict[str, Path]] = {}
    for name, folder in found.items():
        files = find_files(name, home(folder, result_format), videos.names, benchmark)
        check_missing(files, options.missing)
        lengths = Lengths()
        row = (_long_term if long_term else _supervised)(files, truth, benchmark, lengths)
        row.repetitions = max(len(paths) for paths in files.boxes.values())
        if (speed := speed_of(files)) is not None:
            row.values["fps"] = speed
        outcome.trackers.append(row)
        outcome.notes += lengths.notes(name)
        first[name] = {video: paths[0] for video, paths in files.boxes.items()}
    outcome.sort()
    outcome.notes.append(BOUND_NOTES[truth.cut])
    if not long_term and options.attributes:
        sizes = {tag: sum(int(flags.sum()) for flags in own.values()) for tag, own in truth.tags.items()}
        outcome.attribute_sizes = {tag: size for tag, size in sizes.items() if size}
        outcome.attribute_unit = "frames"
    return outcome, lambda tracker, video: _enclosing(read_run(first[tracker][video])[0][: len(videos[video])])


class _Truth:
    """True regions (n, 8), largest x and y that count, and tagged frames (n,) bool, by video."""

    def __init__(self, videos: VideoSet, bounds: str | None) -> None:
        polygons = any(video.polygons is not None for video in videos)
        self.regions = {video.name: _corners(video, polygons) for video in videos}
        sizes = frame_sizes(videos) if bounds in (None, "frame") else None
        if bounds == "frame" and sizes is None:
            raise SpotError(
                f"bounds=frame needs the frames of {videos.name}, which cannot be read; use polygons or none"
            )
        self.cut = bounds or ("none" if sizes is None else "frame")
        if self.cut == "polygons":
            self.bounds = {video.name: _largest_numbers(video, self.regions[video.name], polygons) for video in videos}
        else:
            limits = np.full((len(videos), 2), np.inf) if sizes is None else sizes
            self.bounds = dict(zip(videos.names, limits, strict=True))
        names = sorted({tag for video in videos for tag in video.frame_tags})
        self.tags = {
            tag: {v.name: np.asarray(v.frame_tags.get(tag, np.zeros(len(v), bool)), bool) for v in videos}
            for tag in names
        }
        if names:
            self.tags["empty"] = {v: ~np.any([self.tags[tag][v] for tag in names], axis=0) for v in videos.names}

    def overlaps(self, regions: np.ndarray, video: str, less: int = 0) -> np.ndarray:
        """Return (n,) overlaps with the truth inside the bounds, which are `less` pixels smaller."""
        return raster_overlap(regions, self.regions[video], np.tile(self.bounds[video] - less, (len(regions), 1)))

    def read(self, path: Path, video: str, lengths: Lengths) -> tuple[np.ndarray, np.ndarray]:
        """Regions and codes of a result; rows beyond the video are cut, as the toolkit does."""
        regions, codes = read_run(path)
        frames = len(self.regions[video])
        if len(codes) < frames:
            raise SpotError(f"{path}: {len(codes)} rows, but video {video} has {frames} frames")
        if len(codes) > frames:
            lengths.cut.append(path.name)
        return regions[:frames], codes[:frames]


def _corners(video: Video, polygons: bool) -> np.ndarray:
    """Return (n, 8) true corner points. Benchmarks of boxes alone say by `visible` where the target is absent: NaN."""
    if video.polygons is not None:
        return as_written(video.polygons)
    corners = corner_points(as_written(video.boxes))
    return corners if polygons else np.where(video.visible[:, None], corners, np.nan)


def _largest_numbers(video: Video, regions: np.ndarray, polygons: bool) -> np.ndarray:
    """Return (2,) the largest x and y of the annotation, in place of an unknown frame size.

    Published figures read every row as points x1, y1, x2, y2 ..., even where a polygon benchmark annotates a video with
    boxes. Width and height of such boxes then count as a point, and regions beyond it are lost. VOT2019's conduction1 is
    such a video; it costs 0.003 of accuracy. Benchmarks of boxes alone (VOT-LT) are cut at the far corners of the boxes.
    """
    points = as_written(video.boxes) if polygons and video.polygons is None else regions
    return np.ceil(np.fmax.reduce(points.reshape(-1, 2), axis=0))


def _supervised(files: ResultFiles, truth: _Truth, benchmark: str, lengths: Lengths) -> TrackerOutcome:
    """Accuracy and robustness on regions cut at the frame; EAO on regions cut one pixel earlier, as the toolkit does."""
    names = tuple(files.boxes)
    runs, eao_runs = [], []
    for v, name in enumerate(names):
        for path in files.boxes[name]:
            regions, codes = truth.read(path, name, lengths)
            if not (codes == INITIALISED).any():
                raise SpotError(f"{path}: no row is 1 (initialised); {benchmark} needs runs with restarts")
            runs.append(Run(v, codes, truth.overlaps(regions, name)))
            eao_runs.append(Run(v, codes, truth.overlaps(regions, name, less=1)))
    scores = accuracy_robustness(runs, len(names))
    curve = expected_overlap(eao_runs, [np.ones(len(truth.regions[name]), bool) for name in names])
    values = {"eao": expected_average_overlap(curve, benchmark), "accuracy": scores.accuracy}
    values |= {"robustness": scores.robustness, "failures": scores.failures}
    row = TrackerOutcome(files.tracker, values, names, files.missing)
    row.per_video = {"accuracy": scores.video_accuracy, "failures": scores.video_failures}
    row.curves = {"expected_overlap": curve}
    for tag, flags in truth.tags.items():
        if any(flags[name].any() for name in names):
            curve = expected_overlap(eao_runs, [flags[name] for name in names])
            row.attributes[tag] = expected_average_overlap(curve, benchmark)
    return row


def _long_term(files: ResultFiles, truth: _Truth, benchmark: str, lengths: Lengths) -> TrackerOutcome:
    overlaps, confidences, present = [], [], []
    for name, paths in files.boxes.items():
        if name not in files.confidences:
            raise SpotError(f"{files.folder} has no {name}_001_confidence.value, which long-term evaluation needs")
        overlaps.append(truth.overlaps(truth.read(paths[0], name, lengths)[0], name))
        confidences.append(read_confidences(files.confidences[name], name, len(overlaps[-1])))
        present.append(np.isfinite(truth.regions[name]).all(axis=1))
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in overlaps])])
    scores = long_term_scores(np.concatenate(overlaps), np.concatenate(confidences), np.concatenate(present), offsets)
    values = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    row = TrackerOutcome(files.tracker, values, tuple(files.boxes), files.missing)
    row.per_video = {"f1": scores.video_f1, "precision": scores.video_precision, "recall": scores.video_recall}
    row.curves = {"recall_precision": scores.curve}
    return row


def _enclosing(regions: np.ndarray) -> np.ndarray:
    """(n, 8) corner points to (n, 4) boxes around them."""
    corners = regions.reshape(len(regions), 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate([low, high - low], axis=1)
