"""Learning-rate schedules of the published recipes that PyTorch lacks (docs/method.md section 4)."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupLogDecay(LRScheduler):
    """Ocean's schedule: geometric warm-up, then log-spaced decay, in steps spread evenly over the epochs.

    Args:
        optimizer: its groups keep their ratios; the group with the highest initial rate gets the rates below.
        epochs: of the whole run.
        steps: schedule steps over these epochs (50).
        warmup_steps: of them (5), `warmup_start * (peak / warmup_start) ** (i / warmup_steps)`.
        warmup_start, peak, final: learning rates; the decay is log-spaced from peak to final, both included.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        epochs: int,
        steps: int = 50,
        warmup_steps: int = 5,
        warmup_start: float = 1e-3,
        peak: float = 5e-3,
        final: float = 1e-5,
        last_epoch: int = -1,
    ) -> None:
        self.epochs = epochs
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.warmup_start = warmup_start
        self.peak = peak
        self.final = final
        super().__init__(optimizer, last_epoch)

    def rate(self, epoch: int) -> float:
        """Return learning rate of the fastest group in `epoch` (0-based)."""
        step = min(epoch * self.steps // self.epochs, self.steps - 1)
        if step < self.warmup_steps:
            return self.warmup_start * (self.peak / self.warmup_start) ** (step / self.warmup_steps)
        fraction = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps - 1)
        return math.exp((1 - fraction) * math.log(self.peak) + fraction * math.log(self.final))

    def get_lr(self) -> list[float | Any]:
        fastest = max(self.base_lrs)
        rate = self.rate(self.last_epoch)
        return [rate * base / fastest for base in self.base_lrs]
