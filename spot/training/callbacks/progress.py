"""How far training has come: bars on a terminal, a line an epoch elsewhere."""

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
    "labelled/loss": "labelled loss",
    "pseudo/loss": "pseudo loss",
    "pseudo/kept_fraction": "kept",
    "explored_fraction": "explored",
    "pseudo_label_iou": "label IoU",
    "speed/samples_per_second": "",
}
"""What an epoch's line shows, and how the terminal calls it."""
SHARES = ("pseudo/kept_fraction", "explored_fraction")


def training_progress() -> Callback:
    """Bars where stderr is a terminal, lines elsewhere."""
    return EpochBars() if sys.stderr.isatty() else EpochLines()


def waiting(text: str) -> AbstractContextManager:
    """A spinner on a terminal while something takes its time."""
    return Console(stderr=True).status(text) if sys.stderr.isatty() else nullcontext()


class EpochLines(Callback):
    """One plain line an epoch, by the names of metrics.csv."""

    _epoch = 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch = trainer.current_epoch + 1  # its metrics are complete only after this hook

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell(trainer)

    def _tell(self, trainer: pl.Trainer) -> None:
        if self._epoch == 0 or not trainer.is_global_zero:
            return
        values = trainer.callback_metrics
        shown = [f"{name}={float(values[name]):.4g}" for name in SHOWN if name in values]
        print(f"epoch {self._epoch}/{trainer.max_epochs}  " + "  ".join(shown), file=sys.stderr, flush=True)


class EpochBars(Callback):
    """The epoch's steps with speed and remaining time, the run's remaining time, and a line of each finished epoch above.

    Nothing is read from the device within an epoch.
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
        assert trainer.max_epochs is not None
        left = (trainer.max_epochs - self._finished) * (time.perf_counter() - self._start)
        self._run.plain = f"run ends in {timedelta(seconds=round(left))}, by the last epoch's pace" if left else ""

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
        """The line of the epoch before, whose metrics are complete only now."""
        if self._finished == 0:
            return
        values = trainer.callback_metrics
        shown = [
            f"{title} {_short(name, float(values[name]))}".strip() for name, title in SHOWN.items() if name in values
        ]
        self._console.print(f"epoch {self._finished}: " + ", ".join(shown), highlight=False)
        self._finished = 0


def _short(name: str, value: float) -> str:
    if name in SHARES:
        return f"{100 * value:.0f} %"
    return f"{value:.3g}" + (" samples/s" if name.startswith("speed/") else "")
