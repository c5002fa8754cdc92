"""Backbones that are frozen stage by stage (docs/method.md section 4)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn


class StagedBackbone(nn.Module):
    """A backbone whose children are stages that run one after the other; the first ones may be frozen.

    A frozen stage is a constant. It runs without a graph, so its parameters get no gradient (none, not zero: neither
    weight decay nor momentum moves them), and its BatchNorm stays in evaluation mode whatever `train` says.
    `requires_grad` is left alone: DistributedDataParallel reads it once, when it wraps a network, and would not reduce
    the gradients of a stage that is thawed later. It needs `find_unused_parameters=True`, as always with parts that
    get no gradient.

    Args:
        fixed_stages: leading stages that stay frozen throughout.
    """

    def __init__(self, fixed_stages: int = 0) -> None:
        super().__init__()
        self.fixed_stages = self.frozen_stages = fixed_stages

    def freeze(self, frozen: bool) -> None:
        """Freeze all stages, or all but the fixed ones no longer; at any time, before or after wrapping."""
        self.frozen_stages = len(list(self.children())) if frozen else self.fixed_stages
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As in torch, but frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in list(self.children())[: self.frozen_stages]:
            stage.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) normalised images to the last stage's features."""
        stages = list(self.children())
        with torch.no_grad():
            for stage in stages[: self.frozen_stages]:
                images = stage(images)
        for stage in stages[self.frozen_stages :]:
            images = stage(images)
        return images
