"""What accompanies training: checkpoints, progress, speed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar

SHOWN = ("labelled/loss", "pseudo/loss", "pseudo/kept_share", "explored_share", "pseudo_label_iou")


def default_callbacks(folder: Path, every: int, resume_every: int) -> list[Callback]:
    """Checkpoints and progress of a run.

    Args:
        folder: of the checkpoints.
        every: epochs between kept checkpoints (`epoch_0025.ckpt`, named by finished epochs).
        resume_every: epochs between overwritings of `last.ckpt`, from which the run continues.
    """
    return [
        Throughput(),
        RichProgressBar(leave=True) if sys.stderr.isatty() else EpochLines(),
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
        self._instances += len(batch.labelled.box) + (0 if batch.unlabelled is None else len(batch.unlabelled.path))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._waiting_since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seconds = time.perf_counter() - self._start
        pl_module.log("speed/samples_per_second", self._instances * trainer.world_size / seconds)
        pl_module.log("speed/waiting_share", self._waited / seconds)


class EpochLines(Callback):
    """One plain line an epoch, where there is no terminal for a progress bar."""

    _epoch = 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch = trainer.current_epoch + 1  # its metrics are complete only after this hook

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._print(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._print(trainer)

    def _print(self, trainer: pl.Trainer) -> None:
        if self._epoch == 0 or not trainer.is_global_zero:
            return
        values = trainer.callback_metrics
        shown = [f"{name}={float(values[name]):.4g}" for name in SHOWN if name in values]
        print(f"epoch {self._epoch}/{trainer.max_epochs}  " + "  ".join(shown), file=sys.stderr, flush=True)
