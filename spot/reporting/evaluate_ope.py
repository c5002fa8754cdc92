"""One-pass evaluation of result folders: every tracker runs once through every video, or several times (repetitions)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spot.data.frame_sizes import frame_sizes
from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import OPE_MEASURES, EvaluationResult, TrackerResult
from spot.evaluation.ground_truth import GroundTruth, as_written
from spot.evaluation.one_pass import score
from spot.evaluation.protocols import default_protocol, get_protocol
from spot.evaluation.statistics import bootstrap_interval
from spot.reporting.options import Options
from spot.results import plain_files
from spot.results.searching import ResultFiles
from spot.results.server_zips import server_of
from spot.runtime.errors import SpotError

LONGER_IN_THE_FIELD = {"monkey-17"}
"""LaSOT videos for which many published results have more rows than the annotation. All toolkits cut them."""
CUT = "more rows than frames: the extra rows are cut"
PADDED = "fewer rows than frames: filled up with empty boxes, which fail"
SHORTENED = "fewer rows than frames: frames without a row are left out"


class OnePassEvaluator:
    """Evaluates trackers by the rules of `options.protocol`, or of the benchmark's own toolkit.

    Raises:
        SpotError: the annotation has no boxes after the first frames.
    """

    measures = OPE_MEASURES

    def __init__(self, videos: VideoSet, benchmark: str, options: Options) -> None:
        self.options = options
        self.rules = get_protocol(options.protocol or default_protocol(benchmark), options.exclude_invalid)
        self.protocol, self.source = self.rules.name, self.rules.source
        self.truth = GroundTruth(
            benchmark,
            tuple(videos.names),
            videos.offsets,
            as_written(videos.boxes),
            np.asarray(videos.visible),
            frame_sizes(videos) if self.rules.bounded else None,
            tuple(tuple(videos.extras.get(name, {}).get("attributes") or ()) for name in videos.names),
        )
        unknown = np.isnan(self.truth.boxes).any(axis=1)
        unknown[self.truth.offsets[:-1]] = True
        if unknown.all() and server_of(benchmark):
            raise SpotError(f"the annotation of {benchmark} is on a server; pack=true writes the zip to upload")
        if unknown.all():
            raise SpotError(
                f"{benchmark}: no frame has a box but the first one of each video; annotate more to evaluate"
            )

    def notes(self) -> list[str]:
        """Return sentences for the foot of the tables."""
        if self.rules.bounded and self.truth.frame_sizes is None:
            return ["Frame sizes are unknown, so boxes are not cut at the frame as the GOT-10k toolkit does."]
        return []

    def evaluate(self, files: ResultFiles, misfits: dict[str, list[str]]) -> TrackerResult:
        """Evaluate one tracker. Every repetition is evaluated like a video; then they are joined.

        Args:
            files: result files of the tracker.
            misfits: gets the names of the files with too many or too few rows, by what is done about them.
        """
        runs = [(video, path) for video, paths in files.boxes.items() for path in paths]
        truth = self.truth.subset([video for video, _ in runs])
        boxes = np.concatenate(
            [self._fit(path, v, n, misfits) for (v, path), n in zip(runs, truth.lengths.tolist(), strict=True)]
        )
        without_row = np.isnan(boxes).any(axis=1)
        truth = replace(truth, boxes=np.where(without_row[:, None], np.nan, truth.boxes))
        scores = score(truth, np.nan_to_num(boxes), self.rules).joined()
        row = TrackerResult(files.tracker, scores.summary(), scores.names, files.missing)
        row.per_video = scores.per_video()
        for key in ("success", "precision", "normalized_precision"):
            row.curves[key] = getattr(scores, key).mean(axis=0)
        if self.rules.bounded:
            row.curves["overlap"] = scores.overlap_curve
        if draws := self.options.bootstrap:
            sums = scores.sums().items()
            row.intervals = {key: bootstrap_interval(*ratio, draws, self.options.seed) for key, ratio in sums}
        return row

    def _fit(self, path: Path, video: str, frames: int, misfits: dict[str, list[str]]) -> np.ndarray:
        """Return (frames, 4) boxes of one file; extra or missing rows are treated as the protocol's toolkit does."""
        boxes = plain_files.read_boxes(path)
        extra = len(boxes) - frames
        lengths = self.rules.lengths
        if self.truth.family == "lasot" and lengths == "cut_or_pad" and extra < 0:
            lengths = "exact"  # pytracking refuses short results of LaSOT alone
        if self.rules.name == "got10k" and self.truth.benchmark.lower().startswith("got"):
            lengths = "exact"  # the GOT-10k toolkit cuts results of other benchmarks only
        if extra and lengths == "exact" and not (extra > 0 and video in LONGER_IN_THE_FIELD):
            others = "; protocol=pytracking or got10k cuts or fills up such files"
            remedy = others if self.rules.lengths == "exact" else ""
            raise SpotError(f"{path}: {len(boxes)} rows, but video {video} has {frames} frames{remedy}")
        if extra:
            padded = lengths == "cut_or_pad"
            misfits.setdefault(CUT if extra > 0 else PADDED if padded else SHORTENED, []).append(path.name)
            boxes = np.concatenate([boxes, np.full((max(-extra, 0), 4), 0.0 if padded else np.nan)])
        return boxes[:frames]

    def add_attributes(self, result: EvaluationResult) -> None:
        """Average the main measure over the videos that have each attribute."""
        has = dict(zip(self.truth.names, self.truth.attributes, strict=True))
        for attribute in sorted({a for owned in has.values() for a in owned}):
            result.attribute_sizes[attribute] = sum(attribute in owned for owned in has.values())
            for row in result.trackers:
                chosen = np.array([attribute in has[video] for video in row.videos])
                if chosen.any():
                    row.attributes[attribute] = float(row.per_video[result.main.key][chosen].mean())

    def boxes(self, files: ResultFiles, video: str, frames: int) -> np.ndarray:
        """Read (frames, 4) float64 boxes of one video, of its first repetition; NaN in frames without a row."""
        boxes = plain_files.read_boxes(files.boxes[video][0])[:frames]
        return np.concatenate([boxes, np.full((frames - len(boxes), 4), np.nan)])
