"""Callback: pictures of pseudo labels, with the crops of teacher and student."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from spot.data.augmentation import photometric
from spot.data.boxes import to_crop
from spot.data.instances import UnlabelledInstances
from spot.supervision.teacher import TeacherLabels
from spot.training.data_module import TrackingData, data_of
from spot.training.module import SparseTracker

BATCHES = 4  # batches of an epoch from which the labels are chosen
CLASSES = {0: "dropped", 1: "kept", 2: "annotation"}


class Pictures(Callback):
    """Logs `count` kept and `count` dropped labels to Weights & Biases every `every` epochs.

    A label is one picture in each of four panels, with its box: `pictures/template` (the teacher's template, a key
    frame), `pictures/relay` (the student's template), `pictures/teacher` and `pictures/student` (their crops of the
    labelled frame).
    """

    def __init__(self, every: int, count: int) -> None:
        self.every = every
        self.count = count
        self._loggers: list[WandbLogger] = []
        self._batches: list[UnlabelledInstances] = []
        self._labels: list[TeacherLabels] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._batches.clear()
        self._labels.clear()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        due = self.every > 0 and trainer.current_epoch % self.every == 0
        if self._loggers and due and batch.unlabelled is not None and len(self._batches) < BATCHES:
            self._batches.append(batch.unlabelled)
            self._labels.append(outputs["labels"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._batches:
            return
        assert isinstance(pl_module, SparseTracker)
        labels = TeacherLabels(*(torch.cat(column) for column in zip(*self._labels, strict=True)))
        columns: Any = zip(*self._batches, strict=True)  # an optional one is None in all batches
        whole: list[Any] = [column[0] if column[0] is None else torch.cat(column) for column in columns]
        chosen = choose(labels.kept, self.count)
        picked: list[Any] = [column if column is None else column[chosen] for column in whole]
        instances = UnlabelledInstances(*picked)
        shown = draw(pl_module, instances, TeacherLabels(*(column[chosen] for column in labels)), data_of(trainer))
        self._batches.clear()
        for logger in self._loggers:
            logger.experiment.log(
                {**shown, "epoch": trainer.current_epoch + 1, "trainer/global_step": trainer.global_step}
            )


def choose(kept: Tensor, count: int) -> Tensor:
    """Return indices of the first `count` True and the first `count` False of (B,) bool."""
    return torch.cat([torch.nonzero(kept == wanted)[:count, 0] for wanted in (True, False)])


def draw(
    tracker: SparseTracker, instances: UnlabelledInstances, labels: TeacherLabels, data: TrackingData
) -> dict[str, list[Any]]:
    """Return the four pictures of each label, by panel."""
    import wandb

    size = tracker.student.search_size
    relay, search, student_boxes, _ = tracker.pseudo_inputs(instances, labels)
    teacher_boxes = to_crop(labels.box, instances.teacher_geometry, size)
    indices, frames = (column.cpu().numpy() for column in (instances.target_index, instances.frame))
    annotation = torch.from_numpy(data.targets.annotated_boxes(indices, frames)).to(labels.box)
    true_boxes = to_crop(annotation, instances.teacher_geometry, size)
    mean, std = tracker.student.pixel_mean, tracker.student.pixel_std
    panels: dict[str, Tensor] = {
        "template": photometric(instances.key, instances.brightness[:, 0]),
        "relay": relay * std + mean,
        "teacher": photometric(instances.teacher_search, instances.brightness[:, 1]),
        "student": search * std + mean,
    }
    images = {panel: _pixels(pixels) for panel, pixels in panels.items()}
    boxes = {"teacher": teacher_boxes.cpu().numpy(), "student": student_boxes.cpu().numpy()}
    confidence, kept, known = labels.confidence.tolist(), labels.kept.tolist(), true_boxes.cpu().numpy()

    def overlays(panel: str, i: int) -> dict[str, Any] | None:
        if panel not in boxes:
            return None
        found = [_overlay(boxes[panel][i], int(kept[i]), f"{confidence[i]:.2f}")]
        if panel == "teacher" and np.isfinite(known[i]).all():
            found.append(_overlay(known[i], 2, "annotation"))
        return {"labels": {"box_data": found, "class_labels": CLASSES}}

    def caption(i: int) -> str:
        video = data.targets.names[indices[i]][0]
        drawn = "propagated" if instances.propagated[i] else "reviewed"
        return f"{video} frame {frames[i]}: {CLASSES[int(kept[i])]}, confidence {confidence[i]:.2f}, {drawn}"

    return {
        f"pictures/{panel}": [
            wandb.Image(images[panel][i], boxes=overlays(panel, i), caption=caption(i), file_type="jpg")
            for i in range(len(kept))
        ]
        for panel in panels
    }


def _pixels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [0, 1] to (B, H, W, 3) uint8."""
    return (images.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def _overlay(box: np.ndarray, kind: int, caption: str) -> dict[str, Any]:
    x, y, w, h = box.tolist()
    position = {"minX": x, "minY": y, "maxX": x + w, "maxY": y + h}
    return {"position": position, "domain": "pixel", "class_id": kind, "box_caption": caption}
