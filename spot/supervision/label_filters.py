"""Decide which of the teacher's labels are kept: the published rule, and the interface of other rules.

docs/supervision.md shows how to add one: a class here or in your own package, and a YAML in
conf/supervision/label_filter/.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from spot.architectures.base import TrackerNetwork
from spot.data.instances import UnlabelledInstances


class ProposedLabels(NamedTuple):
    """The teacher's labels of B frames, before filtering.

    Attributes:
        box: (B, 4) xywh in image pixels, clipped to the image.
        crop_box: (B, 4) xywh in pixels of the teacher's search crop, not clipped.
        confidence: (B,) predicted IoU in [0, 1].
    """

    box: Tensor
    crop_box: Tensor
    confidence: Tensor


class LabelFilter(nn.Module, ABC):
    """Decides which labels are kept.

    A filter is a module. Its memory between steps must be buffers: they are saved in the checkpoint, so a resumed run
    is the same run. A filter must not read values back to the host (`.item()`, boolean indexing), since each step would
    then wait for the device.
    """

    @abstractmethod
    def forward(self, labels: ProposedLabels, batch: UnlabelledInstances, network: TrackerNetwork) -> Tensor:
        """Return (B,) bool, True for labels that are kept.

        Args:
            labels: labels of B frames.
            batch: the instances of these labels.
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
