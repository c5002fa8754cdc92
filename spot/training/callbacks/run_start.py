"""Callback: write the run's config.yaml when training begins, so that a failed start leaves the name free."""

from __future__ import annotations

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from torch.nn.modules.batchnorm import _BatchNorm

from spot.runtime.errors import SpotError
from spot.training.run import Run, write_config


class RunStart(Callback):
    """Writes the settings of a run at its start. Refuses another number of processes if the network has BatchNorm.

    BatchNorm normalises over the part of the batch in one process. So the training of BatchNorm layers depends on the
    number of processes.

    Args:
        run: the run that starts or continues.
        cfg: its configuration.
    """

    def __init__(self, run: Run, cfg: DictConfig) -> None:
        self.run, self.cfg = run, cfg

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the number of processes with that of the run so far."""
        before, now = self.run.processes, trainer.world_size
        if before in (None, now) or self.run.resume_from is None or self.cfg.resume == "anyway":
            return
        if any(isinstance(each, _BatchNorm) and _learns(each) for each in pl_module.modules()):
            if not trainer.is_global_zero:
                raise SystemExit(1)  # the first process says why
            raise SpotError(
                f"run {self.cfg.run} was trained by {before} processes, not {now}, and its network has BatchNorm layers, "
                f"which see the batch of one process: continue with {before} devices, or resume=anyway"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write config.yaml and say whether the run starts or continues."""
        if trainer.is_global_zero:
            write_config(self.run, self.cfg, trainer.world_size)


def _learns(layer: _BatchNorm) -> bool:
    return any(weight.requires_grad for weight in layer.parameters())
