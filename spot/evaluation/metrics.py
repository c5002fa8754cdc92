"""The measures as a `torchmetrics.Metric`, for validation inside training. Nothing else of evaluation needs torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from spot.evaluation.evaluation_result import OPE_MEASURES
from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.one_pass import score
from spot.evaluation.protocols import get_protocol

_KEYS = [measure.key for measure in OPE_MEASURES]


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
    values: Tensor
    weights: Tensor

    def __init__(self, protocol: str = "got10k", benchmark: str = "") -> None:
        super().__init__()
        self.protocol = get_protocol(protocol)
        self.benchmark = benchmark
        for name in ("values", "weights"):
            self.add_state(name, torch.zeros(len(_KEYS), dtype=torch.float64), dist_reduce_fx="sum")

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
        sums = score(video, boxes.detach().cpu().double().numpy(), self.protocol).sums()
        values, weights = (torch.tensor([sums[key][i].sum() for key in _KEYS]) for i in (0, 1))
        self.values += values.to(self.values)
        self.weights += weights.to(self.weights)

    def compute(self) -> dict[str, Tensor]:
        """Give the measures of `OPE_MEASURES` as scalars, fractions of 1; NaN where nothing counts."""
        return dict(zip(_KEYS, self.values / self.weights, strict=True))
