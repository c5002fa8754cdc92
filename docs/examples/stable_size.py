"""A label filter: keep labels whose size is close to that of the key frame's box (docs/supervision.md)."""

from __future__ import annotations

from torch import Tensor

from spot.architectures.base import TrackerNetwork
from spot.data.instances import UnlabelledInstances
from spot.supervision.label_filters import LabelFilter, ProposedLabels


class StableSize(LabelFilter):
    """Keep labels whose area is within a factor of the key frame's, both in crop pixels.

    Args:
        factor: largest ratio of the areas, either way.
        threshold: labels below this predicted IoU are never kept.
    """

    def __init__(self, factor: float, threshold: float) -> None:
        super().__init__()
        self.factor = factor
        self.threshold = threshold

    def forward(
        self,
        labels: ProposedLabels,
        batch: UnlabelledInstances,
        network: TrackerNetwork,
    ) -> Tensor:
        # both crops have the same scale: a template has half the factor and half the pixels
        ratio = labels.crop_box[:, 2:].prod(1) / batch.key_box[:, 2:].prod(1)
        stable = (ratio < self.factor) & (ratio > 1 / self.factor)
        return stable & (labels.confidence >= self.threshold)
