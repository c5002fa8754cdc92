"""The result of an evaluation: tables, plots and the report are made from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from spot.evaluation.statistics import Comparison


class Measure(NamedTuple):
    """A column: key in summary.json, title in tables, what it says, and whether it is a fraction (shown in percent)."""

    key: str
    title: str
    meaning: str
    is_fraction: bool = True
    ascending: bool = False
    digits: int = 2

    def show(self, value: float | None) -> str:
        """Return the value as tables show it: fractions in percent with one decimal more than papers print."""
        if value is None or not np.isfinite(value):
            return "-"
        return f"{100 * value if self.is_fraction else value:.{self.digits}f}"


OPE_MEASURES = (
    Measure("success", "Success", "area under the success curve: mean over 21 overlap thresholds"),
    Measure("precision", "Precision", "fraction of frames whose centre lies within 20 px"),
    Measure("normalized_precision", "Norm. prec.", "fraction of frames whose centre lies within 0.2 target sizes"),
    Measure("normalized_precision_auc", "Norm. AUC", "area under the normalised precision curve, 0 to 0.5"),
    Measure("ao", "AO", "average overlap over all frames after the first that show the target"),
    Measure("sr50", "SR 0.5", "fraction of these frames with an overlap above 0.5"),
    Measure("sr75", "SR 0.75", "fraction of these frames with an overlap above 0.75"),
    Measure("mao", "mAO", "average overlap of each video, mean over the videos"),
    Measure("msr50", "mSR 0.5", "success rate above 0.5 of each video, mean over the videos"),
    Measure("msr75", "mSR 0.75", "success rate above 0.75 of each video, mean over the videos"),
)
VOT_MEASURES = (
    Measure("eao", "EAO", "expected average overlap over the lengths that the VOT committee chose"),
    Measure("accuracy", "Accuracy", "mean overlap while tracking, 10 frames after each start left out"),
    Measure("robustness", "Robustness", "failures per 100 frames", is_fraction=False, ascending=True, digits=3),
    Measure(
        "failures", "Failures", "number of failures, mean over repetitions", is_fraction=False, ascending=True, digits=1
    ),
)
VOT_LT_MEASURES = (
    Measure("f1", "F1", "harmonic mean of precision and recall at the best confidence threshold"),
    Measure("precision", "Precision", "mean overlap of the frames reported, at that threshold"),
    Measure("recall", "Recall", "mean overlap over the frames with the target, at that threshold"),
)
CHOOSING = (
    "An epoch that is chosen by its score on the test set is chosen on the test set: report an epoch that was fixed "
    "before, or choose on a validation set."
)
SPEED = Measure("fps", "FPS", "frames a second: mean of 1 / t over the frames with a time", is_fraction=False, digits=1)


@dataclass(eq=False)
class TrackerResult:
    """One row of the tables.

    Attributes:
        name: of the tracker.
        values: measure key to value: fractions of 1.
        videos: names of the videos evaluated.
        missing: names of those without results.
        repetitions: largest number of repeated runs of a video.
        per_video: measure key to (V,) values over `videos`.
        curves: `success`, `overlap`, `precision`, `normalized_precision` to (t,) mean curves; VOT's `expected_overlap`; VOT-LT's
            `recall_precision` as (2, t).
        intervals: measure key to the bootstrap interval.
        attributes: attribute name to the main measure over the videos or frames that have it.
    """

    name: str
    values: dict[str, float]
    videos: tuple[str, ...]
    missing: tuple[str, ...] = ()
    repetitions: int = 1
    per_video: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    attributes: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class EvaluationResult:
    """An evaluation of several trackers on one benchmark.

    Attributes:
        benchmark: its name.
        protocol: name of the rules: a key of `protocols.PROTOCOLS`, `vot` or `vot_lt`.
        source: the toolkit that has these rules.
        measures: the columns, the first of which sorts the rows.
        trackers: the rows in any order; they are sorted, the best first.
        attribute_sizes: how much of the benchmark has each attribute, in the order to show them.
        attribute_unit: what the sizes count, `videos` or `frames`.
        comparison: of two trackers, if asked for.
        notes: sentences for the foot of the table.
    """

    benchmark: str
    protocol: str
    source: str
    measures: tuple[Measure, ...]
    trackers: list[TrackerResult]
    attribute_sizes: dict[str, int] = field(default_factory=dict)
    attribute_unit: str = "videos"
    comparison: Comparison | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trackers.sort(key=lambda row: (-row.values.get(self.main.key, -np.inf), row.name))

    def summary(self) -> dict[str, dict[str, float]]:
        """{tracker: {measure: value}}, fractions of 1."""
        return {row.name: dict(row.values) for row in self.trackers}

    @property
    def main(self) -> Measure:
        """The measure that sorts."""
        return self.measures[0]

    @property
    def video_measure(self) -> Measure | None:
        """The first measure that single videos have."""
        return next((m for m in self.measures if any(m.key in row.per_video for row in self.trackers)), None)


def epoch_series(result: EvaluationResult) -> dict[str, list[tuple[int, TrackerResult]]]:
    """Group the epochs of a run: name of the run to (epoch, result), sorted by epoch, for runs with several epochs.

    The epoch is read from names such as `run_e010` and `run_epoch10`.
    """
    series: dict[str, list[tuple[int, TrackerResult]]] = {}
    for row in result.trackers:
        if found := re.fullmatch(r"(.+?)[_-]e(?:p|poch)?[_-]?(\d+)(.*)", row.name, flags=re.IGNORECASE):
            series.setdefault(found[1] + found[3], []).append((int(found[2]), row))
    return {run: sorted(points, key=lambda p: p[0]) for run, points in series.items() if len(points) > 1}
