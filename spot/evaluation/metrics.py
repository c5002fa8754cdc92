"""The measures as a `torchmetrics.Metric`, for validation inside training. Nothing else of evaluation needs torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.measures import ERROR_THRESHOLDS, OVERLAP_THRESHOLDS, PRECISION_AT
from spot.evaluation.one_pass import score
from spot.evaluation.protocols import get_protocol

_POINTS = len(ERROR_THRESHOLDS)
# the four of `overlaps`: present frames, sum of overlaps, frames above 0.5 and above 0.75
_STATES = {
    "success": len(OVERLAP_THRESHOLDS),
    "precision": _POINTS,
    "normalized_precision": _POINTS,
    "overlaps": 4,
    "videos": 1,
}


class OnePassMetric(Metric):
    """One-pass evaluation of a tracker, video by video, summed over processes.

    Args:
        protocol: one of `protocols.PROTOCOLS`.
        benchmark: its name, which matters where a toolkit makes exceptions (LaSOT, UAV123).

    Example:
        >>> metric = OnePassMetric("got10k")
        >>> truth = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
        >>> metric.update(torch.tensor([[0.0, 0, 10, 10], [5, 0, 10, 10]]), truth)
        >>> round(float(metric.compute()["ao"]), 4)
        0.3333
    """

    full_state_update = False
    higher_is_better = True
    success: Tensor
    precision: Tensor
    normalized_precision: Tensor
    overlaps: Tensor
    videos: Tensor

    def __init__(self, protocol: str = "got10k", benchmark: str = "") -> None:
        super().__init__()
        self.protocol = get_protocol(protocol)
        self.benchmark = benchmark
        for name, size in _STATES.items():
            self.add_state(name, torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, boxes: Tensor, truth: Tensor, visible: Tensor | None = None) -> None:
        """Add one video of n frames.

        Args:
            boxes: (n, 4) predictions, xywh in pixels of the full frame.
            truth: (n, 4) true boxes, NaN where there is no annotation.
            visible: (n,) bool, the target can be seen; by default wherever the true box has an area.

        Raises:
            SpotError: for boxes that hold NaN or are not as many as the true ones.
        """
        true = truth.detach().cpu().double().numpy()
        seen = np.all(true[:, 2:] > 0, axis=1) if visible is None else visible.detach().cpu().numpy().astype(bool)
        video = GroundTruth(self.benchmark, ("video",), np.array([0, len(true)]), true, seen)
        scores = score(video, boxes.detach().cpu().double().numpy(), self.protocol)
        frames = [scores.present, scores.overlap_sum, scores.above[:, 50], scores.above[:, 75]]
        curves = (scores.success[0], scores.precision[0], scores.normalized_precision[0])
        for name, values in zip(_STATES, (*curves, np.concatenate(frames), np.ones(1)), strict=True):
            state = getattr(self, name)
            state += torch.as_tensor(values, dtype=state.dtype, device=state.device)

    def compute(self) -> dict[str, Tensor]:
        """Give the measures as scalars, fractions of 1: means over the videos; `ao`, `sr50` and `sr75` over all frames."""
        present, overlap, above_50, above_75 = self.overlaps
        return {
            "success": (self.success / self.videos).mean(),
            "precision": (self.precision / self.videos)[PRECISION_AT],
            "normalized_precision": (self.normalized_precision / self.videos)[PRECISION_AT],
            "normalized_precision_auc": (self.normalized_precision / self.videos).mean(),
            "ao": overlap / present,
            "sr50": above_50 / present,
            "sr75": above_75 / present,
        }
