"""metrics.csv: one row for each epoch, also in continued runs.

Lightning writes an epoch's metrics after its checkpoint, and its own CSV logger starts with an empty file. Here the
checkpoint has the rows too (`MetricsRows`), so none is lost when a run stops.
"""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

Rows = dict[int, dict[str, Any]]
"""Epoch (from 1) -> metric -> value; values read from a file are text."""
CHECKPOINT_KEY = "metrics_rows"


class EpochCSVLogger(Logger):
    """Writes the metrics of each epoch as a row of `folder/metrics.csv`.

    Epochs count from 1. If an epoch is trained again after an interruption, its row and later ones are replaced. The
    rows of a file of version 0.1, which counted from 0, are renumbered.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.file = Path(folder) / "metrics.csv"
        self._rows: Rows | None = None

    @property
    def name(self) -> str:
        return self.file.parent.name

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.file.parent)

    def rows_until(self, epoch: int) -> Rows:
        """Return the rows of the epochs before this one, and the metrics logged in this one."""
        if self._rows is None:
            self._rows = {number: row for number, row in read_rows(self.file).items() if number < epoch}
        return self._rows

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Do nothing: the run's config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row of their epoch; metrics without an epoch do not belong in this file."""
        if "epoch" not in metrics:
            return
        epoch = int(metrics["epoch"])
        rows = self.rows_until(epoch)
        rows[epoch] = {**rows.get(epoch, {}), **metrics, "epoch": epoch, "step": step}
        write_rows(self.file, rows)


class MetricsRows(Callback):
    """Puts the rows of all epochs, including the one that ends, into each checkpoint."""

    def __init__(self, logger: EpochCSVLogger) -> None:
        self._logger = logger
        self._earlier: dict[str, Any] = {}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._earlier = dict(trainer.callback_metrics)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Lightning keeps metrics of earlier epochs; metrics of this epoch are new objects
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if self._earlier.get(k) is not v}
        if not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch + 1
        rows = self._logger.rows_until(epoch)
        row = {**rows.get(epoch, {}), **values, "epoch": epoch, "step": trainer.global_step - 1}
        checkpoint[CHECKPOINT_KEY] = {**rows, epoch: row}


def read_rows(file: Path) -> Rows:
    """Read the rows of a metrics.csv; an absent file has no rows. Raise SpotError if it is damaged."""
    try:
        if not file.is_file():
            return {}
        with file.open(newline="", encoding="utf-8") as opened:
            rows = {int(row["epoch"]): {k: v for k, v in row.items() if v} for row in csv.DictReader(opened)}
    except OSError as error:
        raise SpotError(f"{file}: {error.strerror}; correct the permissions of the file") from None
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise SpotError(f"{file}: damaged ({error}); remove it, the run's checkpoint has its rows") from None
    if 0 in rows:  # version 0.1 counted epochs from 0
        return {epoch + 1: {**row, "epoch": str(epoch + 1)} for epoch, row in rows.items()}
    return rows


def write_rows(file: Path, rows: Mapping[int, Mapping[str, Any]]) -> None:
    """Write a metrics.csv atomically; `epoch` and `step` come first, other columns by name."""
    names = sorted({name for row in rows.values() for name in row} - {"epoch", "step"})
    with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, ["epoch", "step", *names])
        writer.writeheader()
        writer.writerows(rows[epoch] for epoch in sorted(rows))


def restore_rows(file: Path, rows: Rows) -> None:
    """Make metrics.csv equal to the checkpoint's rows: rows may be missing, or belong to later epochs."""
    if not rows:
        return  # a checkpoint of version 0.1
    try:
        found = read_rows(file)
    except SpotError:
        found = {}
    wanted = {epoch: {k: str(v) for k, v in row.items()} for epoch, row in rows.items()}
    if found != wanted:
        write_rows(file, rows)
