"""VOT's long-term measures: precision, recall and F1 over thresholds of the tracker's confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LT_THRESHOLDS = 100


@dataclass(frozen=True, eq=False)
class LongTermScores:
    """Long-term measures of V videos.

    Attributes:
        precision, recall, f1: at the threshold with the best F1.
        curve: (2, t) recall and precision over the thresholds, from the highest confidence down.
        video_precision, video_recall, video_f1: (V,) at that threshold.
    """

    precision: float
    recall: float
    f1: float
    curve: np.ndarray
    video_precision: np.ndarray
    video_recall: np.ndarray
    video_f1: np.ndarray


def long_term_scores(
    overlaps: np.ndarray, confidences: np.ndarray, present: np.ndarray, offsets: np.ndarray
) -> LongTermScores:
    """Compute precision, recall and F1 over thresholds of the confidence; every video has the same weight.

    Args:
        overlaps: (N,) NaN where the tracker reported nothing or the target is absent, which both count as 0.
        confidences: (N,) NaN where the tracker gave none, which is below every threshold.
        present: (N,) bool, the target is annotated.
        offsets: (V + 1,) rows of the videos.
    """
    thresholds = _thresholds(confidences)
    overlaps, confidences = np.nan_to_num(overlaps), np.nan_to_num(confidences)
    videos = len(offsets) - 1
    precision, recall = np.empty((videos, len(thresholds))), np.empty((videos, len(thresholds)))
    for v in range(videos):
        rows = slice(offsets[v], offsets[v + 1])
        order = np.argsort(-confidences[rows], kind="stable")
        ranked = confidences[rows][order]
        total = np.concatenate([[0], np.cumsum(overlaps[rows][order])])
        chosen = np.searchsorted(-ranked, -thresholds, side="right")
        chosen[np.isneginf(thresholds)] = np.count_nonzero(ranked > 0)
        precision[v] = np.where(chosen > 0, total[chosen] / np.maximum(chosen, 1), 1)
        recall[v] = total[chosen] / max(np.count_nonzero(present[rows]), 1)
    mean_precision, mean_recall = precision.mean(axis=0), recall.mean(axis=0)
    f1 = _f1(mean_precision, mean_recall)
    best = int(np.argmax(f1))
    return LongTermScores(
        float(mean_precision[best]),
        float(mean_recall[best]),
        float(f1[best]),
        np.stack([mean_recall, mean_precision]),
        precision[:, best],
        recall[:, best],
        _f1(precision[:, best], recall[:, best]),
    )


def _f1(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    both = precision + recall
    return np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0)


def _thresholds(confidences: np.ndarray) -> np.ndarray:
    """Return (100,) thresholds from above all confidences to below them, at even ranks in between."""
    known = np.sort(confidences[~np.isnan(confidences)])
    step = np.floor(len(known) / (LT_THRESHOLDS - 2))
    if step < 1:
        inner = np.quantile(known, np.linspace(0, 1, LT_THRESHOLDS - 2)) if len(known) else np.zeros(LT_THRESHOLDS - 2)
    else:
        ranks = np.floor(np.linspace(step - 1, len(known) - step, LT_THRESHOLDS - 2) + 0.5).astype(np.int64)
        inner = known[ranks]
    return np.concatenate([[-np.inf], inner, [np.inf]])[::-1]
