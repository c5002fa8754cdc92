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

SHOWN = {
    "train/loss": "loss",
    "labelled/loss": "labelled loss",
    "pseudo/loss": "pseudo loss",
    "pseudo/kept_fraction": "kept",
    "explored_fraction": "explored",
    "pseudo_label_iou": "label IoU",
    "val/success": "val success",
    "val/AO": "val AO",
    "speed/samples_per_second": "",
}
"""Metrics in an epoch's line, and their names on the terminal."""
FRACTIONS = ("pseudo/kept_fraction", "explored_fraction")


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
        print(f"epoch {self._epoch}/{trainer.max_epochs}  " + "  ".join(shown), file=sys.stderr, flush=True)
        self._epoch = 0


class EpochBars(Callback):
    """Shows the epoch's steps with speed and remaining time, the run's remaining time, and a line for each finished epoch.

    Nothing is read from the device during an epoch.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._finished = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("", total=None, rate="")
        self._run = Text()
        self._live = Live(Group(self._bar, self._run), console=self._console, refresh_per_second=4)
        self._live.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._live is None:
            return
        self._tell(trainer)
        self._start = time.perf_counter()
        self._instances = 0
        steps = trainer.num_training_batches
        self._bar.reset(
            self._task, total=steps, description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", rate=""
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._live is None:
            return
        self._instances += batch.instances
        rate = self._instances * trainer.world_size / (time.perf_counter() - self._start)
        self._bar.update(self._task, advance=1, rate=f"{rate:.3g} samples/s")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._live is None:
            return
        self._finished = trainer.current_epoch + 1
        left = time_left(trainer, time.perf_counter() - self._start)
        self._run.plain = f"run ends in {left}, at the last epoch's speed" if left else ""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar_off(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._bar_off(trainer)

    def _bar_off(self, trainer: pl.Trainer) -> None:
        if self._live is None:
            return
        self._tell(trainer)
        self._live.stop()
        self._live = None

    def _tell(self, trainer: pl.Trainer) -> None:
        """Print the line of the previous epoch, whose metrics are complete only now."""
        if self._finished == 0:
            return
        values = trainer.callback_metrics
        shown = [
            f"{title} {_short(name, float(values[name]))}".strip() for name, title in SHOWN.items() if name in values
        ]
        self._console.print(f"epoch {self._finished}: " + ", ".join(shown), highlight=False)
        self._finished = 0


def time_left(trainer: pl.Trainer, epoch_seconds: float) -> str:
    """Return the time of the epochs after the current one as h:mm:ss; "" for none."""
    assert trainer.max_epochs is not None
    left = (trainer.max_epochs - trainer.current_epoch - 1) * epoch_seconds
    return str(timedelta(seconds=round(left))) if left else ""


def _short(name: str, value: float) -> str:
    if name in FRACTIONS:
        return f"{100 * value:.0f} %"
    return f"{value:.3g}" + (" samples/s" if name.startswith("speed/") else "")
