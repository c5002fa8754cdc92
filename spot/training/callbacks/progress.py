"""Callbacks that show progress: bars on a terminal, else one line for each epoch."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

SHOWN = (
    "train/loss",
    "labelled/loss",
    "pseudo/loss",
    "pseudo/kept_fraction",
    "explored_fraction",
    "pseudo_label_iou",
    "val/success",
    "val/AO",
    "speed/samples_per_second",
)
"""Metrics in the line of an epoch, by their names in metrics.csv."""


def training_progress() -> Callback:
    """Return bars if stderr is a terminal, else lines."""
    return EpochBars() if sys.stderr.isatty() else EpochLines()


def waiting(text: str) -> AbstractContextManager:
    """Show a spinner on a terminal during a slow operation."""
    return Console(stderr=True).status(text) if sys.stderr.isatty() else nullcontext()


class EpochLines(Callback):
    """Prints one line for each epoch, with the names of metrics.csv and the remaining time at the last epoch's speed."""

    _epoch = 0
    _start = 0.0
    _left = ""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell(trainer)
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch = trainer.current_epoch + 1  # its metrics are complete only after this hook
        self._left = time_left(trainer, time.perf_counter() - self._start)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell(trainer)

    def _tell(self, trainer: pl.Trainer) -> None:
        if self._epoch == 0 or not trainer.is_global_zero:
            return
        values = trainer.callback_metrics
        shown = [f"{name}={float(values[name]):.4g}" for name in SHOWN if name in values]
        shown += [f"left={self._left}"] if self._left else []
        self._print(f"epoch {self._epoch}/{trainer.max_epochs}  " + "  ".join(shown))
        self._epoch = 0

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class EpochBars(EpochLines):
    """Shows the epoch's steps with speed and remaining time too, and the run's remaining time.

    Nothing is read from the device during an epoch.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live: Live | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        rate = TextColumn("{task.fields[rate]}")
        self._bar = Progress(*columns, rate, TimeRemainingColumn(), console=self._console)
        self._task = self._bar.add_task("", total=None, rate="")
        self._run = Text()
        self._live = Live(Group(self._bar, self._run), console=self._console, refresh_per_second=4)
        self._live.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._instances = 0
        if self._live is not None:
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.reset(self._task, total=trainer.num_training_batches, description=title, rate="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._live is not None:
            self._instances += batch.instances
            rate = self._instances * trainer.world_size / (time.perf_counter() - self._start)
            self._bar.update(self._task, advance=1, rate=f"{rate:.3g} samples/s")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self._live is not None:
            self._run.plain = f"run ends in {self._left}, at the last epoch's speed" if self._left else ""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell(trainer)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def time_left(trainer: pl.Trainer, epoch_seconds: float) -> str:
    """Return the time of the epochs after the current one as h:mm:ss; "" for none."""
    assert trainer.max_epochs is not None
    left = (trainer.max_epochs - trainer.current_epoch - 1) * epoch_seconds
    return str(timedelta(seconds=round(left))) if left else ""
