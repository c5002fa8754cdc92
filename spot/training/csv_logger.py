"""metrics.csv: one row an epoch, continued when a run is.

Lightning's own CSV logger starts an empty file each time that it is opened.
"""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from spot.runtime.atomic_files import replacing


class EpochCSVLogger(Logger):
    """Writes the metrics of each epoch as a row of `folder/metrics.csv`.

    An epoch that is trained again after an interruption replaces its row.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.file = Path(folder) / "metrics.csv"
        self._rows: dict[int, dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        return self.file.parent.name

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.file.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Nothing: the run's config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row of their epoch; without an epoch they are not of this file's kind."""
        if "epoch" not in metrics:
            return
        epoch = int(metrics["epoch"])
        if self._rows is None:
            self._rows = {row: values for row, values in self._read().items() if row < epoch}
        row = self._rows.setdefault(epoch, {})
        row.update({**metrics, "epoch": epoch, "step": step})
        self._write()

    def _read(self) -> dict[int, dict[str, Any]]:
        if not self.file.is_file():
            return {}
        with self.file.open(newline="") as file:
            return {int(row["epoch"]): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}

    def _write(self) -> None:
        assert self._rows is not None
        names = sorted({name for row in self._rows.values() for name in row} - {"epoch", "step"})
        with replacing(self.file) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["epoch", "step", *names])
            writer.writeheader()
            writer.writerows(self._rows.values())
