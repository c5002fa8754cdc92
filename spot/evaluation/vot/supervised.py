"""VOT's supervised protocol: accuracy, robustness and expected average overlap (EAO).

The tracker is restarted five frames after each failure. A row of a result is a region or a code: 1 where the tracker was
initialised, 2 where it failed, 0 where frames were skipped. This file is the home of these numbers: trackers, result
files and measures take them from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spot.runtime.errors import SpotError

INITIALISED, FAILED, SKIPPED, REGION = 1, 2, 0, -1
BURN_IN = 10
"""Frames after an initialisation that accuracy leaves out: the true box just given makes them too good."""
RESTART_AFTER = 5
"""Frames from a failure to the next initialisation."""
EAO_LENGTHS = {"VOT2016": (108, 371), "VOT2017": (100, 356), "VOT2018": (100, 356), "VOT2019": (46, 291)}
"""Shortest and longest sequence over which expected overlaps are averaged, as the committee derived them each year."""


@dataclass(frozen=True, eq=False)
class Run:
    """One supervised run through one video of n frames.

    Attributes:
        video: index of the video.
        codes: (n,) int64, one of INITIALISED, FAILED, SKIPPED, REGION.
        overlaps: (n,) overlap with the truth, NaN where no region was reported.
    """

    video: int
    codes: np.ndarray
    overlaps: np.ndarray

    @property
    def failures(self) -> np.ndarray:
        """Frames in which the tracker failed."""
        return np.flatnonzero(self.codes == FAILED)


def after_burn_in(run: Run, overlaps: np.ndarray) -> np.ndarray:
    """Return (n,) overlaps with NaN in the first `BURN_IN` frames after each initialisation."""
    frames = np.arange(len(run.codes))
    started = np.maximum.accumulate(np.where(run.codes == INITIALISED, frames, -BURN_IN))
    return np.where(frames - started < BURN_IN, np.nan, overlaps)


@dataclass(frozen=True, eq=False)
class SupervisedScores:
    """Accuracy and robustness of V videos.

    Attributes:
        accuracy: mean overlap over all frames after burn-in.
        robustness: failures per 100 frames.
        failures: number of failures, mean over repetitions.
        video_accuracy, video_failures: (V,) the same of each video; accuracy NaN where burn-in leaves nothing.
    """

    accuracy: float
    robustness: float
    failures: float
    video_accuracy: np.ndarray
    video_failures: np.ndarray


def accuracy_robustness(runs: Sequence[Run], videos: int) -> SupervisedScores:
    """Compute accuracy and robustness: average over the repetitions of a video, then over all frames of all videos.

    Args:
        runs: of every video, one or several a video.
        videos: V.
    """
    repeated: list[list[Run]] = [[] for _ in range(videos)]
    for run in runs:
        repeated[run.video].append(run)
    frames = [_mean_of_known(np.stack([after_burn_in(run, run.overlaps) for run in same])) for same in repeated]
    failures = np.array([np.mean([len(run.failures) for run in same]) for same in repeated])
    every = np.concatenate(frames)
    known = np.isfinite(every)
    return SupervisedScores(
        float(every[known].mean()) if known.any() else np.nan,
        float(100 * failures.sum() / len(every)),
        float(failures.sum()),
        np.array([_mean_of_known(one) for one in frames]),
        failures,
    )


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis without NaN; NaN where there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def expected_overlap(runs: Sequence[Run], tags: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the overlap to expect on a sequence of each length: (longest,) curve, index i for i + 1 frames.

    Every stretch from an initialisation to the next failure is a sample. A sample that ended in a failure continues with
    overlap 0. A sample that ended with its video does not count for longer sequences.

    Args:
        runs: with overlaps before burn-in is taken away.
        tags: (n,) bool a video: stretches weigh as much as they have tagged frames. All True for the overall curve.
    """
    longest = max(len(run.overlaps) for run in runs)
    repetitions = np.bincount([run.video for run in runs])
    samples, weights = [], []
    for run in runs:
        length = len(run.overlaps)
        starts = [0, *(f + RESTART_AFTER for f in run.failures.tolist() if f + RESTART_AFTER <= length)]
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            stop = length if following is None else following + 1
            sample = np.full(longest, 0.0 if following is not None else np.nan)
            # a restart may fall one frame behind the end of the video: the stretch then has a frame less
            stretch = run.overlaps[start:stop]
            sample[: len(stretch)] = np.nan_to_num(stretch) if len(run.failures) else stretch
            tagged = tags[run.video][start:stop].sum() / max(stop - start, 1)
            samples.append(sample)
            weights.append(tagged / repetitions[run.video])
    table, weight = np.array(samples), np.array(weights)
    curve = np.ones(longest)
    if longest > 1:
        known = ~np.isnan(table[:, 1:])
        means = np.cumsum(table[:, 1:], axis=1) / np.arange(1, longest)
        total = np.where(known, weight[:, None], 0).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            curve[1:] = np.where(known, means * weight[:, None], 0).sum(axis=0) / total
        # The toolkit leaves 0 where no sample is that long, but NaN where those that are have no weight.
        curve[1:][~known.any(axis=0)] = 0
    return curve


def expected_average_overlap(curve: np.ndarray, benchmark: str) -> float:
    """Compute EAO: mean of the curve over the benchmark's range of lengths; NaN where the curve does not reach it."""
    low, high = eao_lengths(benchmark)
    within = curve[low - 1 : high]
    return float(np.mean(within[~np.isnan(within)])) if np.isfinite(within).any() else np.nan


def eao_lengths(benchmark: str) -> tuple[int, int]:
    """Return the shortest and longest sequence that EAO averages over.

    Raises:
        SpotError: for a benchmark without a published range.
    """
    year = next((name for name in EAO_LENGTHS if benchmark.upper().replace("-", "").startswith(name)), None)
    if year is None:
        raise SpotError(f"expected average overlap is defined for {', '.join(EAO_LENGTHS)}, not for {benchmark}")
    return EAO_LENGTHS[year]
