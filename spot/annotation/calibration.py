"""Estimate the probability that a box is right, which means an IoU of at least 0.5 with the true box.

The labels themselves are the test: each is hidden in turn, its frame is tracked from its neighbours, and the joined box
is compared with the human one (leave one out). A logistic regression over all targets of all videos is fitted to these
outcomes. As there may be few of them, it is pulled towards the coefficients that were found on other videos: with a
handful of labels it stays near those, with hundreds it follows the user's own.

The range of a tracker's scores differs from network to network, so they enter as ranks among all unlabelled frames of
the project: 0 for the lowest, 1 for the highest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from spot.annotation.candidates import Candidates
from spot.annotation.joining import FEATURES, box_iou, join

RIGHT = 0.5  # IoU from which a box counts as right
LOWEST, HIGHEST = 0.01, 0.99  # only a human's box is certain

# Intercept and coefficients in the order of FEATURES, and how much each may move (standard deviation of the prior).
PRIOR = np.array([1.25, 2.09, 2.47, 0.88, 1.29, -3.64])
PRIOR_SPREAD = 0.6
RANKED = [FEATURES.index(name) for name in ("lower_score", "surer_pass")]  # features that are the tracker's scores


@dataclass(frozen=True)
class Calibration:
    """A fitted model.

    Attributes:
        coefficients: (1 + F,) float64, intercept first.
        examples: number of hidden labels that it was fitted to.
        right: how many of them were tracked to an IoU of 0.5 or more.
        ranked: (n, 2) float64 the tracker's scores (`RANKED`) in the unlabelled frames of the project, each column sorted.
    """

    coefficients: np.ndarray
    examples: int = 0
    right: int = 0
    ranked: np.ndarray = field(default_factory=lambda: np.zeros((0, len(RANKED))))

    def probability(self, features: np.ndarray) -> np.ndarray:
        """(m,) probabilities in [0.01, 0.99] from (m, F) features."""
        logits = self.coefficients[0] + rank_scores(features, self.ranked) @ self.coefficients[1:]
        return np.clip(expit(logits), LOWEST, HIGHEST)


def fit_calibration(examples: Iterable[tuple[Candidates, np.ndarray]], project: np.ndarray) -> Calibration:
    """Fit to hidden labels.

    Args:
        examples: candidates of a single frame and its human box (4,), see `spot.annotation.candidates.held_out`.
        project: (n, F) features of the unlabelled frames of all videos.

    Returns:
        The prior model where there are no examples.
    """
    ranked = np.sort(project[:, RANKED], axis=0)
    features, right = [], []
    for candidates, truth in examples:
        joined = join(candidates)
        features.append(joined.features[0])
        right.append(bool(box_iou(np.nan_to_num(joined.boxes[0]), truth.astype(np.float64)) >= RIGHT))
    if not features:
        return Calibration(PRIOR, ranked=ranked)
    outcome = np.array(right)
    fitted = fit_logistic(rank_scores(np.array(features), ranked), outcome)
    return Calibration(fitted, len(outcome), int(outcome.sum()), ranked)


def rank_scores(features: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """Replace the tracker's scores by their ranks.

    Args:
        features: (m, F).
        ranked: (n, 2), see `Calibration`; with n = 0 every rank is 0.5.

    Returns:
        (m, F) float64.
    """
    features = features.astype(np.float64)
    for column, known in zip(RANKED, ranked.T, strict=True):
        features[:, column] = np.searchsorted(known, features[:, column]) / len(known) if len(known) else 0.5
    return features


def fit_logistic(
    features: np.ndarray, outcome: np.ndarray, prior: np.ndarray = PRIOR, spread: float = PRIOR_SPREAD
) -> np.ndarray:
    """Fit a logistic regression with a normal prior on each coefficient, by SciPy's BFGS.

    Args:
        features: (m, F) float64.
        outcome: (m,) bool.
        prior: (1 + F,) means of the prior, intercept first.
        spread: its standard deviation.

    Returns:
        (1 + F,) coefficients, intercept first.

    Examples:
        >>> import numpy as np
        >>> agreement = np.linspace(0, 1, 200)[:, None]
        >>> fitted = fit_logistic(agreement, agreement[:, 0] > 0.5, prior=np.zeros(2), spread=10.0)
        >>> bool(abs(-fitted[0] / fitted[1] - 0.5) < 0.01)  # where it turns
        True
    """
    rows = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    target = np.asarray(outcome, np.float64)
    precision = 1 / spread**2

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the negative logarithm of the posterior, and its gradient."""
        logits, moved = rows @ values, values - prior
        value = np.logaddexp(0, logits).sum() - target @ logits + precision * (moved @ moved) / 2
        return float(value), rows.T @ (expit(logits) - target) + precision * moved

    return minimize(loss, prior.astype(np.float64), jac=True, method="BFGS", options={"gtol": 1e-8}).x


assert len(PRIOR) == 1 + len(FEATURES)
