"""Uncertainty of scores: bootstrap intervals over videos, and a paired test between two trackers.

Frames of one video are not independent, so whole videos are resampled. Both methods are SciPy's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MEMORY = 20_000_000
"""Numbers that one batch of resamples may hold."""


def bootstrap_interval(
    sums: np.ndarray, weights: np.ndarray, draws: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Compute the percentile interval of a ratio of sums over videos.

    A mean over videos has weight 1 a video; a mean over all frames has the frames of each video as weight.

    Args:
        sums: (V,) each video's value times its weight.
        weights: (V,); videos with weight 0 do not count.
        draws: number of resamples of the videos, at least 1.
        seed: the same seed gives the same interval.
        level: fraction of the resamples inside.

    Returns:
        The lower and upper end; NaN where fewer than two videos count.
    """
    from scipy.stats import bootstrap

    used = weights > 0
    if used.sum() < 2:
        return float("nan"), float("nan")
    interval = bootstrap(
        (sums[used], weights[used]),
        lambda s, w, axis=-1: s.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=draws,
        batch=max(1, MEMORY // len(sums)),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Comparison:
    """Paired test of tracker `first` against `second` on their common videos.

    Attributes:
        first, second: names.
        measure: what was compared.
        videos: number of common videos.
        difference: mean over them of first minus second.
        low, high: 95 % bootstrap interval of the difference.
        p_value: two-sided, of a sign-flip permutation test of no difference.
        better, worse: videos on which the first is better and worse.
    """

    first: str
    second: str
    measure: str
    videos: int
    difference: float
    low: float
    high: float
    p_value: float
    better: int
    worse: int

    @property
    def sentence(self) -> str:
        """The result in words."""
        verdict = "a significant" if self.p_value < 0.05 else "no significant"
        difference, low, high = (f"{100 * value:+.2f}" for value in (self.difference, self.low, self.high))
        return (
            f"{self.first} against {self.second}: {self.measure} {difference} points (95 % interval {low} to {high}, "
            f"p = {self.p_value:.3g}) over {self.videos} videos, better on {self.better} and worse on {self.worse}: "
            f"{verdict} difference at the 5 % level"
        )


def compare_paired(
    names: tuple[str, str], measure: str, first: np.ndarray, second: np.ndarray, draws: int, seed: int
) -> Comparison:
    """Compare two trackers video by video with a sign-flip permutation test of the mean difference.

    Args:
        names: names of the trackers.
        measure: name of the measure.
        first, second: (V,) the measure on each common video, V at least 2.
        draws: sign patterns and bootstrap resamples; all patterns are tried where there are no more than that.
        seed: the same seed gives the same result.
    """
    from scipy.stats import permutation_test

    # equal differences must stay equal whatever the order of the sum, or ties would count by rounding
    difference = np.round(first - second, 12)
    p_value = permutation_test(
        (difference,),
        lambda d, axis=-1: np.round(d.mean(axis=axis), 12),
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        batch=max(1, MEMORY // len(difference)),
        alternative="two-sided",
        rng=np.random.default_rng(seed),
    ).pvalue
    low, high = bootstrap_interval(difference, np.ones(len(difference)), draws, seed)
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    mean = float(difference.mean())
    return Comparison(*names, measure, len(difference), mean, low, high, float(p_value), better, worse)
