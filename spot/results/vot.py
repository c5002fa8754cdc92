"""VOT result folders to outcomes: supervised runs with restarts, and long-term runs with confidences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import VOT_LT_MEASURES, VOT_MEASURES, EvaluationResult, TrackerOutcome
from spot.evaluation.ground_truth import GroundTruth, as_written, truth_of
from spot.evaluation.measures import frames_per_second
from spot.evaluation.ope import Predictions
from spot.evaluation.options import Options
from spot.evaluation.regions import raster_overlap
from spot.evaluation.vot import (
    INITIALISED,
    Run,
    accuracy_robustness,
    expected_average_overlap,
    expected_overlap,
    long_term_scores,
)
from spot.results.loading import ResultFiles, check_missing, find_files, read_times
from spot.results.parsing import corner_points, parse_regions, parse_values
from spot.runtime.errors import SpotError

Regions = dict[str, np.ndarray]
BOUND_NOTES = {
    "frame": "Regions are cut at the frame.",
    "polygons": "Regions are cut at the largest numbers of each video's true regions, the published way without frames.",
    "none": "Regions are cut at the frame's left and top edges only.",
}


def evaluate_vot(
    videos: VideoSet, benchmark: str, found: dict[str, Path], options: Options, long_term: bool
) -> tuple[EvaluationResult, Predictions]:
    """EvaluationResult of the trackers in `found`, and the boxes around the regions that they reported."""
    truth = truth_of(videos, benchmark)
    polygons = _polygons(videos, truth)
    bounds, cut = _bounds(videos, truth, polygons, options.bounds)
    rows, reported = [], {}
    for name, folder in found.items():
        files = find_files(name, folder, truth)
        check_missing([files], truth, options.missing)
        evaluate = _long_term if long_term else _supervised
        row, regions = evaluate(files, videos, truth, polygons, bounds)
        speed = frames_per_second(read_times(files))
        if speed is not None:
            row.values["fps"] = speed
        rows.append(row)
        reported[name] = regions
    measures = VOT_LT_MEASURES if long_term else VOT_MEASURES
    source = "VOT's long-term toolkit" if long_term else "VOT's supervised toolkit"
    outcome = EvaluationResult(benchmark, "vot_lt" if long_term else "vot", source, measures, rows)
    outcome.notes.append(BOUND_NOTES[cut])
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
    """(V, 2) largest x and y that count in each video, and which of `options.BOUNDS` that is."""
    unbounded = np.full((len(videos), 2), np.inf)
    if wanted == "none":
        return unbounded, "none"
    if wanted == "polygons":
        return _largest_numbers(videos, truth, polygons), "polygons"
    from spot.reporting.worst_videos import frame_sizes

    sizes = frame_sizes(videos)
    if sizes is None and wanted == "frame":
        raise SpotError(
            f"bounds=frame needs the frames of {truth.benchmark}, which are not at hand; use polygons or none"
        )
    return (unbounded, "none") if sizes is None else (sizes, "frame")


def _largest_numbers(videos: VideoSet, truth: GroundTruth, polygons: np.ndarray) -> np.ndarray:
    """(V, 2) whole x and y in place of a frame size that is not known: the largest that the annotation names.

    Published figures read every row as points x1, y1, x2, y2 ... even where a polygon benchmark annotates a video with
    boxes. Their width and height then count as a point, and regions beyond it are lost: VOT2019's conduction1 is such a
    video, and costs 0.003 of accuracy. Benchmarks of boxes alone (VOT-LT) are cut at the boxes' far corners.
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


def _read_run(path: Path, video: str, frames: int) -> tuple[np.ndarray, np.ndarray]:
    regions, codes = parse_regions(path.read_bytes(), str(path))
    if len(codes) != frames:
        raise SpotError(f"{path}: {len(codes)} rows, but video {video} has {frames} frames")
    return regions, codes


def _supervised(
    files: ResultFiles, videos: VideoSet, truth: GroundTruth, polygons: np.ndarray, bounds: np.ndarray
) -> tuple[TrackerOutcome, Regions]:
    """Accuracy and robustness on regions cut at the frame, EAO one pixel earlier, as the toolkit does."""
    names = tuple(files.boxes)
    accuracy_runs, eao_runs = [], []
    shown: Regions = {}
    for v, name in enumerate(names):
        true = polygons[truth.rows(name)]
        bound = bounds[truth.names.index(name)]
        for path in files.boxes[name]:
            regions, codes = _read_run(path, name, len(true))
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
    files: ResultFiles, videos: VideoSet, truth: GroundTruth, polygons: np.ndarray, bounds: np.ndarray
) -> tuple[TrackerOutcome, Regions]:
    names = tuple(files.boxes)
    overlaps, confidences, present, shown = [], [], [], {}
    for name in names:
        true = polygons[truth.rows(name)]
        bound = bounds[truth.names.index(name)]
        regions, _ = _read_run(files.boxes[name][0], name, len(true))
        overlaps.append(_overlaps(regions, true, bound))
        confidences.append(_read_confidences(files, name, len(true)))
        present.append(np.isfinite(true).all(axis=1))
        shown[name] = regions
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in overlaps])])
    scores = long_term_scores(np.concatenate(overlaps), np.concatenate(confidences), np.concatenate(present), offsets)
    values = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    row = TrackerOutcome(files.tracker, values, names, files.missing)
    row.per_video = {"f1": scores.video_f1, "precision": scores.video_precision, "recall": scores.video_recall}
    row.curves = {"recall_precision": scores.curve}
    return row, shown


def _read_confidences(files: ResultFiles, video: str, frames: int) -> np.ndarray:
    """(n,) confidences; the first frame, in which the box is given, has none."""
    path = files.beside(video, "_confidence")
    if path is None:
        raise SpotError(f"{files.folder} has no {video}_001_confidence.value, which long-term evaluation needs")
    values = parse_values(path.read_bytes(), str(path))
    if len(values) == frames - 1:
        values = np.concatenate([[np.nan], values])
    if len(values) != frames:
        raise SpotError(f"{path}: {len(values)} rows, but video {video} has {frames} frames")
    values[0] = np.nan
    return values


def _enclosing(regions: np.ndarray) -> np.ndarray:
    """(n, 8) corner points to (n, 4) boxes around them."""
    corners = regions.reshape(len(regions), 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate([low, high - low], axis=1)
