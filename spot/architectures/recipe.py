"""How an architecture is optimised: the part `recipe` of its YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

MakeOptimizer = Callable[[Iterable[dict[str, Any]]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]


class Recipe:
    """How an architecture is optimised.

    Args:
        optimizer: makes the optimiser from parameter groups.
        scheduler: makes the scheduler from the optimiser; it steps once an epoch.
        lr: highest learning rate.
        clip_norm: largest gradient norm, None for no clipping.
        groups: further options are arguments of the network's `parameter_groups`, such as backbone_lr_ratio.
    """

    def __init__(
        self,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler,
        lr: float,
        clip_norm: float | None = None,
        **groups: Any,
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.lr, self.clip_norm, self.groups = lr, clip_norm, groups
