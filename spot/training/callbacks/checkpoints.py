"""What accompanies training: checkpoints, progress, speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from spot.training.callbacks.progress import training_progress
from spot.training.callbacks.throughput import Throughput


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
