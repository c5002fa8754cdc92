"""Decide which of the teacher's labels are kept: the rule of the method, and the interface of others.

docs/supervision.md shows how to add one: a class here or in your own package, and a YAML in
conf/supervision/label_filter/.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from spot.architectures.base import TrackerNetwork
from spot.data.pairs import UnlabelledInstances


class ProposedLabels(NamedTuple):
    """What the teacher found in B frames, before anything is filtered.

    Attributes:
        box: (B, 4) xywh in image pixels, clipped to the image.
        crop_box: (B, 4) xywh in pixels of the teacher's search crop, not clipped.
        confidence: (B,) predicted IoU in [0, 1].
    """

    box: Tensor
    crop_box: Tensor
    confidence: Tensor


class LabelFilter(nn.Module, ABC):
    """Says which labels are kept.

    It is a module: what it remembers between steps are buffers, which travel in the checkpoint, so that a resumed run
    is the same run. It must not read values back to the host (`.item()`, boolean indexing): that would make each step
    wait for the device.
    """

    @abstractmethod
    def forward(self, labels: ProposedLabels, batch: UnlabelledInstances, network: TrackerNetwork) -> Tensor:
        """Return (B,) bool, True for labels that are kept.

        Args:
            labels: of B frames.
            batch: the instances they belong to.
            network: the teacher's, in evaluation mode; called without gradients.
        """


class ConfidenceThreshold(LabelFilter):
    """Keep labels whose predicted IoU is at least `threshold`: the published IoU filtering.

    Args:
        threshold: tau in [0, 1]; 0 keeps all.
    """

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, labels: ProposedLabels, batch: UnlabelledInstances, network: TrackerNetwork) -> Tensor:
        return labels.confidence >= self.threshold
