"""Callback: the teacher's average of the student (docs/method.md section 4)."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from spot.supervision.teacher import Teacher
from spot.training.data_module import burn_in_of


class TeacherAverage(Callback):
    """Moves the teacher towards the student every `interval` steps of the sparse stage.

    As published, updates come before the steps `interval - 1`, `2 * interval - 1`, ... of an epoch (4, 9, 14, ... for
    5), counted from 0 anew in each epoch. The first sparse step starts with a teacher that equals the student. During
    burn-in the teacher equals the student of the last finished epoch, so that every checkpoint has a usable teacher.

    The callback logs `teacher_spread`, the difference between the processes' teachers. It must be 0.

    Args:
        interval: T_ema, steps between two updates; 0 keeps the teacher from the end of burn-in.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        teacher: Teacher | None = pl_module.teacher
        if teacher is None or batch.unlabelled is None:
            return
        if batch_idx == 0 and trainer.current_epoch == burn_in_of(trainer):
            teacher.update_ema(pl_module.student, decay=0)
        if self.interval and (batch_idx + 1) % self.interval == 0:
            teacher.update_ema(pl_module.student)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        teacher: Teacher | None = pl_module.teacher
        if teacher is None:
            return
        if trainer.current_epoch < burn_in_of(trainer):
            teacher.update_ema(pl_module.student, decay=0)
        spread = teacher_spread(pl_module, teacher)
        pl_module.log("teacher_spread", spread, on_step=False, on_epoch=True, rank_zero_only=True)


def teacher_spread(pl_module: pl.LightningModule, teacher: Teacher) -> float:
    """Return the largest difference between the processes' teachers in the sum of a parameter or buffer."""
    sums = torch.stack([tensor.double().sum() for tensor in teacher.network.state_dict().values()])
    gathered = pl_module.all_gather(sums)
    assert isinstance(gathered, Tensor)
    return float((gathered.reshape(-1, len(sums)) - sums).abs().max())
