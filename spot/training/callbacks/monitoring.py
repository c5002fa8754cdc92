"""What shows whether the method works, beyond the losses: the teacher's confidence, its coarse boxes, memory.

Everything is gathered on the device during an epoch and read once at its end.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from spot.data.targets import Targets
from spot.training.data_module import TrackingData
from spot.training.loggers import log_histogram
from spot.training.module import SparseTracker

CONFIDENCE_BINS = 20
GIB = 2**30


class Monitoring(Callback):
    """Logs at the end of each epoch, over all processes:

    `pseudo/confidence_histogram`: predicted IoU of the teacher's boxes in bins of 0.05, kept or not.
    `coarse_center_error`: distance of the coarse box's centre from the annotated one, over the square root of the
        annotated area, where there is an annotation (mean). The teacher's crop reaches about 2 to each side.
    `memory/device_gib`, `memory/host_gib`: most that PyTorch allocated in the epoch, and the main process has had since its start.
    """

    def __init__(self) -> None:
        self._coarse: list[Tensor] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._coarse.clear()
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (drawn := batch.unlabelled) is not None:
            place = torch.stack([drawn.target_index, drawn.frame], 1)
            self._coarse.append(torch.cat([place.double(), drawn.teacher_geometry[:, :2].double()], 1))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Runs before the module's own hook, which hands the labels over to the state."""
        assert isinstance(pl_module, SparseTracker)
        values = {"memory/host_gib": host_memory()}
        if pl_module.device.type == "cuda":
            values["memory/device_gib"] = torch.cuda.max_memory_allocated(pl_module.device) / GIB
        if self._coarse:
            counts = torch.histc(torch.cat(pl_module.recorded)[:, -1].float(), CONFIDENCE_BINS, 0, 1)
            error = self._coarse_error(trainer)
            total = trainer.strategy.reduce(torch.cat([counts.double(), error.to(counts.device)]), reduce_op="sum")
            assert isinstance(total, Tensor)
            *shares, distance, known = total.tolist()
            if known:
                values["coarse_center_error"] = distance / known
            edges = np.linspace(0, 1, CONFIDENCE_BINS + 1)
            name, epoch = "pseudo/confidence_histogram", trainer.current_epoch
            log_histogram(trainer.loggers, name, np.array(shares), edges, epoch, trainer.global_step)
        for name, value in values.items():
            pl_module.log(name, value, on_step=False, on_epoch=True, rank_zero_only=True)

    def _coarse_error(self, trainer: pl.Trainer) -> Tensor:
        """(2,) float64: sum of the errors, and how many are known."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, TrackingData)
        rows = torch.cat(self._coarse).cpu().numpy()
        errors = center_errors(data.targets, rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2:])
        return torch.tensor([errors.sum(), len(errors)], dtype=torch.float64)


def center_errors(targets: Targets, indices: np.ndarray, frames: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Distances of centres (m, 2) in image pixels from the annotated ones, over the square root of the annotated area.

    Returns:
        (<= m,) float64, of the frames with an annotated box that has an area.
    """
    annotation = targets.annotated_boxes(indices, frames).astype(np.float64)
    area = annotation[:, 2:].prod(1)
    known = np.isfinite(annotation).all(1) & (annotation[:, 2:] > 0).all(1)
    distance = np.linalg.norm(annotation[:, :2] + annotation[:, 2:] / 2 - centers, axis=1)
    return distance[known] / np.sqrt(area[known])


def host_memory() -> float:
    """Most memory that this process has held, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
