"""Callback: add the teacher's labels to the sampler state after each epoch (docs/method.md section 5)."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from spot.data.instances import Batch, UnlabelledInstances
from spot.runtime.errors import SpotError
from spot.state.store import PseudoLabels
from spot.supervision.teacher import TeacherLabels
from spot.training.data_module import TrackingData, data_of

log = logging.getLogger(__name__)

CHECKPOINT_KEY = "sampler_state"
OLD_CHECKPOINT_KEY = "TrackingData"  # of version 0.1
PATIENCE = 3  # epochs without a kept label, before a warning


class SamplerStateKeeper(Callback):
    """Commits the labels of each epoch, records the state's version in each checkpoint, and restores it on resume.

    The callback logs `state/inserted` and `state/replaced` (frames), `explored_fraction` of all frames and of each set,
    and `pseudo_label_iou`: mean IoU of the kept labels with the annotation, over annotated frames that are not key
    frames.

    Args:
        snapshot_every: epochs between versions of the state that are kept; 0 keeps none.
        resume_every: epochs between resume points; versions since the last resume point are kept.
        checkpoint_every: epochs between kept checkpoints; the version of a kept checkpoint is kept too.
    """

    def __init__(self, snapshot_every: int, resume_every: int, checkpoint_every: int) -> None:
        self.snapshot_every = snapshot_every
        self.checkpoint_every = checkpoint_every
        self.resume_every = resume_every
        self._steps: list[StepLabels] = []
        self._without_labels = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Keep the labels on the device until the epoch ends: no transfer in a step."""
        if batch.unlabelled is not None:
            self._steps.append(step_labels(batch.unlabelled, outputs["labels"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Merge the epoch's labels of all processes into the state; the new version is used from the next epoch on."""
        data = data_of(trainer)
        if not data.pseudo_labels:
            return
        values: dict[str, float] = {}
        if self._steps:
            mine = StepLabels(*map(torch.cat, zip(*self._steps, strict=True)))
            self._steps.clear()
            labels = kept_labels(StepLabels(*(_of_all_processes(pl_module, field) for field in mine)))
            if trainer.is_global_zero:
                values |= self._commit(data, labels, trainer.current_epoch + 1)
            trainer.strategy.barrier("state commit")
            self._warn(trainer, len(labels.frame))
            unseen = ~data.targets.is_key(labels.target_index, labels.frame)
            iou = data.targets.label_iou(labels.target_index[unseen], labels.frame[unseen], labels.box[unseen])
            if len(iou):
                values["pseudo_label_iou"] = float(iou.mean())
        state = data.store.at(trainer.current_epoch + 1)
        values["explored_fraction"] = float(state.explored_counts.sum() / state.lengths.sum())
        for name, fraction in data.targets.explored_by_set(state.explored_counts).items():
            values[f"explored_fraction/{name}"] = fraction
        for name, value in values.items():
            pl_module.log(name, float(value), on_step=False, on_epoch=True, rank_zero_only=True)

    def _commit(self, data: TrackingData, labels: PseudoLabels, epoch: int) -> dict[str, float]:
        report = data.store.commit(labels, epoch)
        if epoch % self.checkpoint_every == 0 or (self.snapshot_every and epoch % self.snapshot_every == 0):
            data.store.snapshot(epoch)
        data.store.prune(keep_from=epoch - self.resume_every - 1)
        return {"state/inserted": report.inserted, "state/replaced": report.replaced}

    def _warn(self, trainer: pl.Trainer, kept: int) -> None:
        self._without_labels = 0 if kept else self._without_labels + 1
        if self._without_labels == PATIENCE and trainer.is_global_zero:
            log.warning(
                "no pseudo label was kept for %d epochs: the teacher is not sure enough; lower teacher.threshold "
                "(pseudo/confidence in metrics.csv says what it reaches), or lengthen training.burn_in",
                PATIENCE,
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the explored fraction and, if there is annotation, the quality of the recorded labels."""
        data = data_of(trainer)
        if not data.pseudo_labels or not trainer.is_global_zero:
            return
        state = data.store.at(trainer.current_epoch + 1)
        explored, frames = int(state.explored_counts.sum()), int(state.lengths.sum())
        _, iou = data.targets.recorded_labels(state)
        quality = f"; recorded pseudo labels: {iou.mean():.3f} mean IoU to the annotation" if len(iou) else ""
        print(f"explored {explored} of {frames} frames{quality}")
        if explored <= len(data.targets.key_ids) < frames and self._without_labels < PATIENCE:  # else it was said
            log.warning(
                "no frame but the key frames was explored; lower teacher.threshold, lengthen training.burn_in, or set "
                "exploration.step to 1 or more"
            )

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the state's version into the checkpoint."""
        data = data_of(trainer)
        if data.pseudo_labels:
            state = data.store.at(trainer.current_epoch + 1)
            checkpoint[CHECKPOINT_KEY] = {"state_version": state.version, "state_digest": state.digest}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the checkpoint's version of the state. Raise SpotError if it is missing or differs."""
        data = data_of(trainer)
        if not data.pseudo_labels:
            return
        saved = checkpoint.get(CHECKPOINT_KEY) or checkpoint.get(OLD_CHECKPOINT_KEY)
        if not saved:
            raise SpotError("the checkpoint belongs to a run without a sampler state; choose another run=")
        if trainer.is_global_zero:
            data.store.rollback(saved["state_version"], saved["state_digest"])
        trainer.strategy.barrier("state rollback")


class StepLabels(NamedTuple):
    """The teacher's labels of B frames, kept or not, as tensors on one device.

    Attributes:
        number: (B,) int64 position of the instance in the epoch, over all processes.
        target_index: (B,) int64 flat index of the target over all videos.
        frame: (B,) int64, 0-based.
        kept: (B,) bool.
        box: (B, 4) float32 xywh in pixels of the full frame.
        confidence: (B,) float32.
    """

    number: Tensor
    target_index: Tensor
    frame: Tensor
    kept: Tensor
    box: Tensor
    confidence: Tensor


def step_labels(batch: UnlabelledInstances, labels: TeacherLabels) -> StepLabels:
    """Return the labels of a step with the places that they belong to."""
    box, confidence = labels.box.float(), labels.confidence.float()
    return StepLabels(batch.number, batch.target_index, batch.frame, labels.kept, box, confidence)


def kept_labels(labels: StepLabels) -> PseudoLabels:
    """Return the kept ones of an epoch's labels, in the order of their instances in the epoch."""
    order = torch.argsort(labels.number, stable=True)
    chosen = order[labels.kept[order]]
    fields = (labels.target_index, labels.frame, labels.box, labels.confidence)
    return PseudoLabels(*(field[chosen].cpu().numpy() for field in fields))


def _of_all_processes(pl_module: pl.LightningModule, field: Tensor) -> Tensor:
    gathered = pl_module.all_gather(field)  # has one dimension more with several processes
    assert isinstance(gathered, Tensor)
    return gathered.reshape(-1, *field.shape[1:])
