"""Callback: measures that show whether the method works, beyond the losses.

Values are collected on the device during an epoch and read once at its end.
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

from spot.data.instances import Batch
from spot.data.targets import Targets
from spot.training.data_module import data_of
from spot.training.loggers import log_histogram

CONFIDENCE_BINS = 20
GIB = 2**30


class Monitoring(Callback):
    """Logs these values of all processes at the end of each epoch:

    `pseudo/confidence_histogram`: predicted IoU of the teacher's boxes in bins of 0.05, kept or not.
    `coarse_center_error`: distance of the coarse box's centre from the annotated one, over the square root of the
        annotated area (mean). Frames that are labelled in training or have no annotation are left out. The teacher's
        crop reaches about 2 to each side.
    `learning_rate/*`: the rate of each parameter group in that epoch.
    `broken_frames`: instances that could not be read in the run so far.
    `memory/device_gib`, `memory/host_gib`: largest memory that PyTorch allocated in the epoch, and largest memory of
        the main process since its start.
    """

    def __init__(self) -> None:
        self._coarse: list[Tensor] = []
        self._confidence: list[Tensor] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._coarse.clear()
        self._confidence.clear()
        # Lightning steps the schedule before the hooks of the epoch's end, where the rate is that of the next epoch
        for group in trainer.optimizers[0].param_groups:
            _log(pl_module, f"learning_rate/{group['name']}", group["lr"])
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if (drawn := batch.unlabelled) is not None:
            place = torch.stack([drawn.target_index, drawn.frame], 1)
            self._coarse.append(torch.cat([place.double(), drawn.teacher_geometry[:, :2].double()], 1))
            self._confidence.append(outputs["labels"].confidence)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {"memory/host_gib": host_memory(), "broken_frames": float(data_of(trainer).count_epoch())}
        if pl_module.device.type == "cuda":
            values["memory/device_gib"] = torch.cuda.max_memory_allocated(pl_module.device) / GIB
        if self._coarse:
            counts = torch.histc(torch.cat(self._confidence).float(), CONFIDENCE_BINS, 0, 1)
            error = self._coarse_error(trainer)
            total = trainer.strategy.reduce(torch.cat([counts.double(), error.to(counts.device)]), reduce_op="sum")
            assert isinstance(total, Tensor)
            *in_bins, distance, known = total.tolist()
            if known:
                values["coarse_center_error"] = distance / known
            edges = np.linspace(0, 1, CONFIDENCE_BINS + 1)
            name, epoch = "pseudo/confidence_histogram", trainer.current_epoch + 1
            log_histogram(trainer.loggers, name, np.array(in_bins), edges, epoch, trainer.global_step)
        for name, value in values.items():
            _log(pl_module, name, value)

    def _coarse_error(self, trainer: pl.Trainer) -> Tensor:
        """Return (2,) float64: sum of the errors, and number of known ones."""
        targets = data_of(trainer).targets
        rows = torch.cat(self._coarse).cpu().numpy()
        rows = rows[~targets.is_key(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64))]
        errors = center_errors(targets, rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2:])
        return torch.tensor([errors.sum(), len(errors)], dtype=torch.float64)


def _log(pl_module: pl.LightningModule, name: str, value: float) -> None:
    pl_module.log(name, float(value), on_step=False, on_epoch=True, rank_zero_only=True)


def center_errors(targets: Targets, indices: np.ndarray, frames: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return distances of centres (m, 2) in image pixels from the annotated ones, over the root of the annotated area.

    Returns:
        (<= m,) float64; only frames whose annotated box has an area.
    """
    annotation = targets.annotated_boxes(indices, frames).astype(np.float64)
    area = annotation[:, 2:].prod(1)
    known = np.isfinite(annotation).all(1) & (annotation[:, 2:] > 0).all(1)
    distance = np.linalg.norm(annotation[:, :2] + annotation[:, 2:] / 2 - centers, axis=1)
    return distance[known] / np.sqrt(area[known])


def host_memory() -> float:
    """Return the largest memory of this process since its start, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
