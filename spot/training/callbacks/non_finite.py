"""Callback: skip steps whose loss or gradient is NaN or infinite (docs/method.md section 4)."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from spot.runtime.errors import SpotError


class SkipNonFinite(Callback):
    """Skips such steps completely on all processes, for every architecture, and counts them as `skipped_steps`.

    The student's buffers (BatchNorm statistics) are restored too. The counters are saved in the checkpoint.

    Args:
        limit: steps in a row after which the run stops.

    Raises:
        SpotError: `limit` steps in a row were skipped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.skipped = 0
        self.in_a_row = 0
        self._finite: Tensor | None = None
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Copy the buffers. The memory of the copies is used again in later steps."""
        self._buffers = list(pl_module.student.buffers())
        if [b.shape for b in self._before] != [b.shape for b in self._buffers]:
            self._before = [torch.empty_like(b) for b in self._buffers]
        _copy(self._before, self._buffers)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        self._finite = torch.isfinite(loss.detach())

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        """Remove the gradients of a bad step: without gradients the optimiser changes nothing."""
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if self._finite is None or not grads:
            return
        norms = torch.stack([norm.to(grads[0].device) for norm in torch._foreach_norm(grads)])
        finite = self._finite & torch.isfinite(norms).all()
        if trainer.world_size > 1:  # gradients are the same on all processes, losses are not
            mean = trainer.strategy.reduce(finite.float(), reduce_op="mean")
            finite = torch.as_tensor(mean) == 1
        if finite.item():
            self.in_a_row = 0
            return
        optimizer.zero_grad(set_to_none=True)
        _copy(self._buffers, self._before)
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.limit:
            raise SpotError(
                f"the loss or the gradient was NaN or infinite in {self.in_a_row} steps in a row (epoch "
                f"{trainer.current_epoch + 1}); lower arch.recipe.lr or set trainer.precision=32-true; the same command "
                f"continues after the last finished epoch"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("skipped_steps", float(self.skipped), on_step=False, on_epoch=True, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]


@torch.no_grad()
def _copy(into: list[Tensor], source: list[Tensor]) -> None:
    if into:
        torch._foreach_copy_(into, source)
