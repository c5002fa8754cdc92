"""How sure a number is: bootstrap over videos, and a paired test between two trackers.

The videos are taken as a sample of all videos one might have; frames of one video are not independent, so whole videos
are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def bootstrap_intervals(
    sums: np.ndarray, weights: np.ndarray, draws: int, seed: int, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of ratios of sums over videos.

    A mean over videos has weight 1 a video; a mean over all frames has the frames of each video as weight.

    Args:
        sums: (V, M) each video's contribution to M measures: its value times its weight.
        weights: (V, M).
        draws: number of resamples of the V videos, at least 1.
        seed: same seed, same intervals.
        level: share of the resamples inside.

    Returns:
        low, high: (M,) each.
    """
    rng = np.random.default_rng(seed)
    videos = len(sums)
    times_drawn = rng.multinomial(videos, np.full(videos, 1 / videos), size=draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = (times_drawn @ sums) / (times_drawn @ weights)
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return low, high


@dataclass(frozen=True)
class Comparison:
    """EvaluationResult of a paired test of tracker `first` against `second` on their common videos.

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
        """The outcome in words."""
        verdict = "a significant" if self.p_value < 0.05 else "no significant"
        return (
            f"{self.first} against {self.second}: {self.measure} {100 * self.difference:+.2f} points "
            f"(95 % interval {100 * self.low:+.2f} to {100 * self.high:+.2f}, p = {self.p_value:.3g}) "
            f"over {self.videos} videos, "
            f"better on {self.better} and worse on {self.worse}: {verdict} difference at the 5 % level"
        )


def compare_paired(
    names: tuple[str, str], measure: str, first: np.ndarray, second: np.ndarray, draws: int, seed: int
) -> Comparison:
    """Compare two trackers video by video.

    If the trackers were equally good, each video's difference could as well have had the other sign; the p value is the
    share of random sign patterns that make the mean difference at least as large (with the observed one counted in).

    Args:
        names: of the trackers.
        measure: its name.
        first, second: (V,) the measure on each common video.
        draws: sign patterns and bootstrap resamples.
        seed: same seed, same outcome.
    """
    difference = first - second
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size=(draws, len(difference)), dtype=np.int8) * 2 - 1
    flipped = np.abs(signs @ difference)
    observed = abs(difference.sum())
    p_value = (1 + np.count_nonzero(flipped >= observed * (1 - 1e-12))) / (1 + draws)
    low, high = bootstrap_intervals(difference[:, None], np.ones((len(difference), 1)), draws, seed)
    return Comparison(
        names[0],
        names[1],
        measure,
        len(difference),
        float(difference.mean()),
        float(low[0]),
        float(high[0]),
        float(p_value),
        int((difference > 0).sum()),
        int((difference < 0).sum()),
    )
