"""Callbacks: kept checkpoints and the resume point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


class _Checkpoints(ModelCheckpoint):
    """Has no state of its own: the files' names tell all. Lightning would keep the folder's path, and warn of another."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Ignore the state in checkpoints of earlier versions."""


class KeptCheckpoint(_Checkpoints):
    """Keeps a checkpoint every `every` epochs, named by finished epochs like the published ones: `epoch_0025.ckpt`."""

    def __init__(self, folder: str | Path, every: int) -> None:
        super().__init__(folder, filename="kept", every_n_epochs=every, save_top_k=-1, enable_version_counter=False)

    def format_checkpoint_name(self, metrics: dict[str, Any], *_: Any, **__: Any) -> str:
        """Return the path of the checkpoint of the epoch that ends."""
        assert self.dirpath is not None
        return str(Path(self.dirpath) / checkpoint_name(int(metrics["epoch"])))  # counts from 1, see SparseTracker


class ResumePoint(_Checkpoints):
    """Overwrites `last.ckpt`, from which the run continues, every `every` epochs and after the last one."""

    def __init__(self, folder: str | Path, every: int) -> None:
        super().__init__(folder, filename="last", every_n_epochs=every, enable_version_counter=False)
        self.every = every

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        finished = trainer.current_epoch + 1
        if finished == trainer.max_epochs and finished % self.every:
            assert self.dirpath is not None
            trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")


def checkpoint_name(epochs: int) -> str:
    """Return the file name of the checkpoint after so many epochs."""
    return f"epoch_{epochs:04d}.ckpt"
