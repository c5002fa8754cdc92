"""Callback: training speed."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class Throughput(Callback):
    """Logs training instances per second, and the fraction of the time spent waiting for data."""

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
        pl_module.log("speed/waiting_fraction", self._waited / seconds)
        pl_module.log("speed/waiting_seconds", self._waited)
