"""Evaluation of VOT result folders: supervised runs with restarts, and long-term runs with confidences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.data.frame_sizes import frame_sizes
from spot.data.video import Video, VideoSet
from spot.evaluation.evaluation_result import VOT_LT_MEASURES, VOT_MEASURES, EvaluationResult, TrackerResult
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
from spot.reporting.evaluate_ope import CUT
from spot.reporting.options import Options
from spot.results.searching import ResultFiles
from spot.results.vot_files import LONG_TERM, SUPERVISED, corner_points, read_confidences, read_run
from spot.runtime.errors import SpotError

BOUND_NOTES = {
    "frame": "Regions are cut at the frame.",
    "polygons": "Regions are cut at the largest coordinates of each video's true regions, the published way without frames.",
    "none": "Regions are cut at the frame's left and top edges only.",
}


class VotEvaluator:
    """Evaluates trackers by VOT's supervised or long-term protocol.

    Attributes:
        regions: video to (n, 8) true corner points; NaN where the target is absent.
        cut: key of `BOUND_NOTES`.
        bounds: video to (2,) the largest x and y that count.
        tags: VOT's frame tag to video to (n,) bool.

    Raises:
        SpotError: `bounds=frame`, but the frames cannot be read.
    """

    def __init__(self, videos: VideoSet, benchmark: str, options: Options, long_term: bool) -> None:
        self.benchmark, self.long_term = benchmark, long_term
        self.protocol = LONG_TERM if long_term else SUPERVISED
        self.source = "VOT's long-term toolkit" if long_term else "VOT's supervised toolkit"
        self.measures = VOT_LT_MEASURES if long_term else VOT_MEASURES
        polygons = any(video.polygons is not None for video in videos)
        self.regions = {video.name: _true_corners(video, polygons) for video in videos}
        sizes = frame_sizes(videos) if options.bounds in (None, "frame") else None
        if options.bounds == "frame" and sizes is None:
            raise SpotError(
                f"bounds=frame needs the frames of {videos.name}, which cannot be read; use polygons or none"
            )
        self.cut = options.bounds or ("none" if sizes is None else "frame")
        if self.cut == "polygons":
            self.bounds = {video.name: _largest_numbers(video, self.regions[video.name], polygons) for video in videos}
        else:
            limits = np.full((len(videos), 2), np.inf) if sizes is None else sizes
            self.bounds = dict(zip(videos.names, limits, strict=True))
        tags = sorted({tag for video in videos for tag in video.frame_tags})
        self.tags = {
            tag: {v.name: np.asarray(v.frame_tags.get(tag, np.zeros(len(v), bool)), bool) for v in videos}
            for tag in tags
        }
        if tags:
            self.tags["empty"] = {v: ~np.any([self.tags[tag][v] for tag in tags], axis=0) for v in videos.names}

    def notes(self) -> list[str]:
        """Return sentences for the foot of the tables."""
        return [BOUND_NOTES[self.cut]]

    def evaluate(self, files: ResultFiles, misfits: dict[str, list[str]]) -> TrackerResult:
        """Evaluate one tracker; `misfits` gets the names of the files with too many rows."""
        row = TrackerResult(files.tracker, {}, tuple(files.boxes), files.missing)
        (self._long_term if self.long_term else self._supervised)(row, files, misfits)
        return row

    def _supervised(self, row: TrackerResult, files: ResultFiles, misfits: dict[str, list[str]]) -> None:
        """Accuracy and robustness on regions cut at the frame; EAO on regions cut one pixel earlier, as the toolkit does."""
        runs, eao_runs = [], []
        for v, name in enumerate(row.videos):
            for path in files.boxes[name]:
                regions, codes = self._read(path, name, misfits)
                if not (codes == INITIALISED).any():
                    raise SpotError(f"{path}: no row is 1 (initialised); {self.benchmark} needs runs with restarts")
                runs.append(Run(v, codes, self._overlaps(regions, name)))
                eao_runs.append(Run(v, codes, self._overlaps(regions, name, less=1)))
        scores = accuracy_robustness(runs, len(row.videos))
        curve = expected_overlap(eao_runs, [np.ones(len(self.regions[name]), bool) for name in row.videos])
        row.values = {"eao": expected_average_overlap(curve, self.benchmark), "accuracy": scores.accuracy}
        row.values |= {"robustness": scores.robustness, "failures": scores.failures}
        row.per_video = {"accuracy": scores.video_accuracy, "failures": scores.video_failures}
        row.curves = {"expected_overlap": curve}
        for tag, flags in self.tags.items():
            if any(flags[name].any() for name in row.videos):
                curve = expected_overlap(eao_runs, [flags[name] for name in row.videos])
                row.attributes[tag] = expected_average_overlap(curve, self.benchmark)

    def _long_term(self, row: TrackerResult, files: ResultFiles, misfits: dict[str, list[str]]) -> None:
        overlaps, confidences, present = [], [], []
        for name, paths in files.boxes.items():
            if name not in files.confidences:
                raise SpotError(f"{files.folder} has no {name}_001_confidence.value, which long-term evaluation needs")
            overlaps.append(self._overlaps(self._read(paths[0], name, misfits)[0], name))
            confidences.append(read_confidences(files.confidences[name], name, len(overlaps[-1])))
            present.append(np.isfinite(self.regions[name]).all(axis=1))
        offsets = np.cumsum([0, *map(len, overlaps)])
        scores = long_term_scores(
            np.concatenate(overlaps), np.concatenate(confidences), np.concatenate(present), offsets
        )
        row.values = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
        row.per_video = {"f1": scores.video_f1, "precision": scores.video_precision, "recall": scores.video_recall}
        row.curves = {"recall_precision": scores.curve}

    def _overlaps(self, regions: np.ndarray, video: str, less: int = 0) -> np.ndarray:
        """Return (n,) overlaps with the truth inside the bounds, which are `less` pixels smaller."""
        return raster_overlap(regions, self.regions[video], np.tile(self.bounds[video] - less, (len(regions), 1)))

    def _read(self, path: Path, video: str, misfits: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Read regions and codes of a result; rows beyond the video are cut, as the toolkit does."""
        regions, codes = read_run(path)
        frames = len(self.regions[video])
        if len(codes) < frames:
            raise SpotError(f"{path}: {len(codes)} rows, but video {video} has {frames} frames")
        if len(codes) > frames:
            misfits.setdefault(CUT, []).append(path.name)
        return regions[:frames], codes[:frames]

    def add_attributes(self, result: EvaluationResult) -> None:
        """Count the frames of each tag. The trackers' EAO over them is known already."""
        if not self.long_term:
            sizes = {tag: sum(int(flags.sum()) for flags in own.values()) for tag, own in self.tags.items()}
            result.attribute_sizes = {tag: size for tag, size in sizes.items() if size}
            result.attribute_unit = "frames"

    def boxes(self, files: ResultFiles, video: str, frames: int) -> np.ndarray:
        """Read (frames, 4) boxes around the regions of one video, of its first repetition; NaN where there is none."""
        corners = read_run(files.boxes[video][0])[0][:frames].reshape(-1, 4, 2)
        low, high = corners.min(axis=1), corners.max(axis=1)
        return np.concatenate([low, high - low], axis=1)


def _true_corners(video: Video, polygons: bool) -> np.ndarray:
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
