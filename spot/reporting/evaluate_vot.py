"""Evaluate VOT result folders: supervised runs with restarts, and long-term runs with confidences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import VOT_LT_MEASURES, VOT_MEASURES, EvaluationResult, TrackerOutcome
from spot.evaluation.ground_truth import GroundTruth, as_written
from spot.evaluation.vot.long_term import long_term_scores
from spot.evaluation.vot.regions import raster_overlap
from spot.evaluation.vot.supervised import (
    INITIALISED,
    Run,
    accuracy_robustness,
    expected_average_overlap,
    expected_overlap,
)
from spot.reporting.evaluate_ope import Lengths, Predictions, speed_of, truth_of
from spot.reporting.options import Options
from spot.results.searching import ResultFiles, check_missing, find_files
from spot.results.vot_files import LONG_TERM, SUPERVISED, corner_points, home, read_confidences, read_run
from spot.runtime.errors import SpotError

Regions = dict[str, np.ndarray]
BOUND_NOTES = {
    "frame": "Regions are cut at the frame.",
    "polygons": "Regions are cut at the largest coordinates of each video's true regions, the published way without frames.",
    "none": "Regions are cut at the frame's left and top edges only.",
}


def evaluate_vot(
    videos: VideoSet, benchmark: str, found: dict[str, Path], options: Options, long_term: bool
) -> tuple[EvaluationResult, Predictions]:
    """Evaluate the trackers in `found`; return the result and the boxes around the regions that they reported."""
    truth = truth_of(videos, benchmark)
    polygons = _polygons(videos, truth)
    bounds, cut = _bounds(videos, truth, polygons, options.bounds)
    rows, reported, notes = [], {}, []
    result_format = LONG_TERM if long_term else SUPERVISED
    for name, folder in found.items():
        files = find_files(name, home(folder, result_format), truth.names, benchmark)
        check_missing(files, options.missing)
        evaluate, lengths = _long_term if long_term else _supervised, Lengths()
        row, regions = evaluate(files, videos, truth, polygons, bounds, lengths)
        row.repetitions = max(len(paths) for paths in files.boxes.values())
        if (speed := speed_of(files)) is not None:
            row.values["fps"] = speed
        rows.append(row)
        reported[name] = regions
        notes += lengths.notes(name)
    measures = VOT_LT_MEASURES if long_term else VOT_MEASURES
    source = "VOT's long-term toolkit" if long_term else "VOT's supervised toolkit"
    outcome = EvaluationResult(benchmark, result_format, source, measures, rows)
    outcome.notes += [*notes, BOUND_NOTES[cut]]
    if not long_term and options.attributes:
        _name_tags(outcome, videos)
    return outcome, lambda tracker, video: _enclosing(reported[tracker][video])


def _polygons(videos: VideoSet, truth: GroundTruth) -> np.ndarray:
    """(N, 8) true corner points, from boxes where the benchmark has no polygons; NaN where the target is absent."""
    given = [videos.extras.get(name, {}).get("polygons") for name in videos.names]
    if all(polygon is None for polygon in given):
        corners = corner_points(truth.boxes)
        corners[~truth.visible] = np.nan
        return corners
    known = [
        corner_points(truth.boxes[truth.rows(name)]) if polygon is None else as_written(polygon)
        for name, polygon in zip(videos.names, given, strict=True)
    ]
    return np.concatenate(known)


def _bounds(videos: VideoSet, truth: GroundTruth, polygons: np.ndarray, wanted: str | None) -> tuple[np.ndarray, str]:
    """(V, 2) largest x and y that count in each video, and which of `options.BOUNDS` was used."""
    unbounded = np.full((len(videos), 2), np.inf)
    if wanted == "none":
        return unbounded, "none"
    if wanted == "polygons":
        return _largest_numbers(videos, truth, polygons), "polygons"
    from spot.reporting.strips import frame_sizes

    sizes = frame_sizes(videos)
    if sizes is None and wanted == "frame":
        raise SpotError(
            f"bounds=frame needs the frames of {truth.benchmark}, which are not at hand; use polygons or none"
        )
    return (unbounded, "none") if sizes is None else (sizes, "frame")


def _largest_numbers(videos: VideoSet, truth: GroundTruth, polygons: np.ndarray) -> np.ndarray:
    """(V, 2) the largest x and y of the annotation, in place of an unknown frame size.

    Published figures read every row as points x1, y1, x2, y2 ..., even where a polygon benchmark annotates a video with
    boxes. Width and height of such boxes then count as a point, and regions beyond it are lost. VOT2019's conduction1 is
    such a video; it costs 0.003 of accuracy. Benchmarks of boxes alone (VOT-LT) are cut at the far corners of the boxes.
    """
    boxes = [name for name in videos.names if videos.extras.get(name, {}).get("polygons") is None]
    largest = np.fmax.reduceat(polygons.reshape(len(polygons), 4, 2).max(axis=1), truth.offsets[:-1], axis=0)
    if len(boxes) < len(videos):
        for name in boxes:
            points = truth.boxes[truth.rows(name)].reshape(-1, 2)
            largest[truth.names.index(name)] = np.fmax.reduce(points, axis=0)
    return np.ceil(largest)


def _overlaps(regions: np.ndarray, polygons: np.ndarray, bound: np.ndarray) -> np.ndarray:
    return raster_overlap(regions, polygons, np.tile(bound, (len(regions), 1)))


def _read_run(path: Path, video: str, frames: int, lengths: Lengths) -> tuple[np.ndarray, np.ndarray]:
    """Regions and codes; rows beyond the video are cut, as the toolkit does."""
    regions, codes = read_run(path)
    if len(codes) < frames:
        raise SpotError(f"{path}: {len(codes)} rows, but video {video} has {frames} frames")
    if len(codes) > frames:
        lengths.cut.append(path.name)
    return regions[:frames], codes[:frames]


def _supervised(
    files: ResultFiles, videos: VideoSet, truth: GroundTruth, polygons: np.ndarray, bounds: np.ndarray, lengths: Lengths
) -> tuple[TrackerOutcome, Regions]:
    """Accuracy and robustness on regions cut at the frame; EAO on regions cut one pixel earlier, as the toolkit does."""
    names = tuple(files.boxes)
    accuracy_runs, eao_runs = [], []
    shown: Regions = {}
    for v, name in enumerate(names):
        true = polygons[truth.rows(name)]
        bound = bounds[truth.names.index(name)]
        for path in files.boxes[name]:
            regions, codes = _read_run(path, name, len(true), lengths)
            if not (codes == INITIALISED).any():
                raise SpotError(f"{path}: no row is 1 (initialised); {truth.benchmark} wants runs with restarts")
            inside = _overlaps(regions, true, bound)
            accuracy_runs.append(Run(v, codes, inside))
            eao_runs.append(Run(v, codes, _overlaps(regions, true, bound - 1) if np.isfinite(bound).all() else inside))
            shown.setdefault(name, regions)
    scores = accuracy_robustness(accuracy_runs, len(names))
    tags = {tag: [flags[name] for name in names] for tag, flags in _tags(videos).items()}
    curve = expected_overlap(eao_runs, [np.ones(int(n), bool) for n in truth.subset(names).lengths])
    values = {
        "eao": expected_average_overlap(curve, truth.benchmark),
        "accuracy": scores.accuracy,
        "robustness": scores.robustness,
        "failures": scores.failures,
    }
    row = TrackerOutcome(files.tracker, values, names, files.missing)
    row.per_video = {"accuracy": scores.video_accuracy, "failures": scores.video_failures}
    row.curves = {"expected_overlap": curve}
    row.attributes = {
        tag: expected_average_overlap(expected_overlap(eao_runs, flags), truth.benchmark)
        for tag, flags in tags.items()
        if any(f.any() for f in flags)
    }
    return row, shown


def _tags(videos: VideoSet) -> dict[str, dict[str, np.ndarray]]:
    """{tag: {video: (n,) bool}}, with `empty` for the frames that carry none."""
    given = {name: videos.extras.get(name, {}).get("frame_tags") or {} for name in videos.names}
    tags = sorted({tag for flags in given.values() for tag in flags})
    lengths = dict(zip(videos.names, videos.lengths.tolist(), strict=True))
    table = {
        tag: {name: np.asarray(given[name].get(tag, np.zeros(lengths[name], bool)), bool) for name in videos.names}
        for tag in tags
    }
    if tags:
        table["empty"] = {name: ~np.any([table[tag][name] for tag in tags], axis=0) for name in videos.names}
    return table


def _name_tags(outcome: EvaluationResult, videos: VideoSet) -> None:
    sizes = {tag: sum(int(f.sum()) for f in flags.values()) for tag, flags in _tags(videos).items()}
    outcome.attribute_sizes = {tag: size for tag, size in sizes.items() if size}
    outcome.attribute_unit = "frames"


def _long_term(
    files: ResultFiles, videos: VideoSet, truth: GroundTruth, polygons: np.ndarray, bounds: np.ndarray, lengths: Lengths
) -> tuple[TrackerOutcome, Regions]:
    names = tuple(files.boxes)
    overlaps, confidences, present, shown = [], [], [], {}
    for name in names:
        true = polygons[truth.rows(name)]
        bound = bounds[truth.names.index(name)]
        regions, _ = _read_run(files.boxes[name][0], name, len(true), lengths)
        overlaps.append(_overlaps(regions, true, bound))
        if name not in files.confidences:
            raise SpotError(f"{files.folder} has no {name}_001_confidence.value, which long-term evaluation needs")
        confidences.append(read_confidences(files.confidences[name], name, len(true)))
        present.append(np.isfinite(true).all(axis=1))
        shown[name] = regions
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in overlaps])])
    scores = long_term_scores(np.concatenate(overlaps), np.concatenate(confidences), np.concatenate(present), offsets)
    values = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    row = TrackerOutcome(files.tracker, values, names, files.missing)
    row.per_video = {"f1": scores.video_f1, "precision": scores.video_precision, "recall": scores.video_recall}
    row.curves = {"recall_precision": scores.curve}
    return row, shown


def _enclosing(regions: np.ndarray) -> np.ndarray:
    """(n, 8) corner points to (n, 4) boxes around them."""
    corners = regions.reshape(len(regions), 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate([low, high - low], axis=1)
