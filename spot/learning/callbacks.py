"""What accompanies training: checkpoints, progress, speed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from spot.learning.progress import training_progress


def default_callbacks(folder: Path, every: int, resume_every: int) -> list[Callback]:
    """Checkpoints and progress of a run.

    Args:
        folder: of the checkpoints.
        every: epochs between kept checkpoints (`epoch_0025.ckpt`, named by finished epochs).
        resume_every: epochs between overwritings of `last.ckpt`, from which the run continues.
    """
    return [
        Throughput(),
        training_progress(),
        KeptCheckpoint(folder, filename="kept", every_n_epochs=every, save_top_k=-1, enable_version_counter=False),
        ModelCheckpoint(folder, filename="last", every_n_epochs=resume_every, enable_version_counter=False),
    ]


class KeptCheckpoint(ModelCheckpoint):
    """Names checkpoints by the number of finished epochs, as the published ones are."""

    def format_checkpoint_name(self, metrics: dict[str, Any], *_: Any, **__: Any) -> str:
        """Path of the checkpoint of the epoch that ends."""
        assert self.dirpath is not None
        return str(Path(self.dirpath) / checkpoint_name(int(metrics["epoch"]) + 1))


def checkpoint_name(epochs: int) -> str:
    """File name of the checkpoint after so many epochs."""
    return f"epoch_{epochs:04d}.ckpt"


class Throughput(Callback):
    """Logs training instances per second, and the share of the time that went into waiting for data."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = self._waiting_since = time.perf_counter()
        self._waited = 0.0
        self._instances = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._waited += time.perf_counter() - self._waiting_since
        self._instances += batch.instances

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._waiting_since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seconds = time.perf_counter() - self._start
        pl_module.log("speed/samples_per_second", self._instances * trainer.world_size / seconds)
        pl_module.log("speed/waiting_share", self._waited / seconds)
        pl_module.log("speed/waiting_seconds", self._waited)
