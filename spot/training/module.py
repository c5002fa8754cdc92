"""The losses of training: student on labelled pairs, student on pseudo-labelled pairs (docs/method.md section 4).

The module computes losses. Everything else is done by callbacks: `spot.training.callbacks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torchvision.ops import box_convert, box_iou

from spot.architectures.base import Prediction, TrackerLoss, TrackerNetwork, best_cell, mean_terms, rows
from spot.architectures.recipe import MakeOptimizer, MakeScheduler, Recipe
from spot.data.augmentation import photometric, rotate_flip
from spot.data.boxes import clip_boxes, to_crop
from spot.data.instances import Batch, LabelledPairs, UnlabelledInstances
from spot.supervision.teacher import Teacher, TeacherLabels


class SparseTracker(pl.LightningModule):
    """Student and teacher of one architecture.

    Args:
        network, loss: of the architecture.
        recipe: how it is optimised.
        teacher: makes the teacher from the student; None for runs without pseudo labels.
        seed: seed of dropout, together with the epoch and the process's rank.
        arch: name kept in the checkpoint, so that it is never loaded into another architecture.
        optimizer, scheduler: used instead of the recipe's.
        compile: apply torch.compile to student and teacher.
    """

    def __init__(
        self,
        network: TrackerNetwork,
        loss: TrackerLoss,
        recipe: Recipe,
        teacher: Callable[[TrackerNetwork], Teacher] | None,
        seed: int,
        arch: str,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        network.begin_epoch(0)  # raises early if the backbone cannot be frozen
        self.student = network.to(memory_format=torch.channels_last)
        self.loss = loss
        self.recipe = recipe
        self.optimizer = optimizer or recipe.optimizer
        self.scheduler = scheduler or recipe.scheduler
        self.teacher = None if teacher is None else teacher(network)
        self.seed = seed
        self.save_hyperparameters({"arch": arch})
        if compile:
            self.compile_networks()

    def compile_networks(self, **options: Any) -> None:
        """Compile student and teacher separately: a copy of a compiled module is not compiled."""
        self.student.compile(**options)
        if self.teacher is not None:
            self.teacher.network.compile(**options)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Compute the loss of one step.

        Returns:
            `loss`, and in the sparse stage `labels`, the teacher's labels of `batch.unlabelled`, for callbacks.
        """
        pairs = batch.labelled
        template, search = self._labelled_inputs(pairs)
        labelled = len(pairs.box)
        everything = torch.ones(labelled, dtype=torch.bool, device=pairs.box.device)
        if batch.unlabelled is None:
            prediction = self.student(template, pairs.template_box, search)
            loss = self._half("labelled", prediction, pairs.box, everything, train_iou=True)
            self._log_mean("train/loss", loss.detach(), labelled)
            return {"loss": loss}

        assert self.teacher is not None
        instances = batch.unlabelled
        labels = self.teacher.label(instances)
        relay, pseudo_search, pseudo_boxes, kept = self.pseudo_inputs(instances, labels)
        prediction = self.student(
            torch.cat([template, relay]),
            torch.cat([pairs.template_box, instances.relay_box]),
            torch.cat([search, pseudo_search]),
        )
        first = self._half("labelled", rows(prediction, 0, labelled), pairs.box, everything, train_iou=True)
        second = self._half("pseudo", rows(prediction, labelled), pseudo_boxes, kept, train_iou=False)
        labelled_fraction = labelled / (labelled + len(kept))
        loss = labelled_fraction * first + (1 - labelled_fraction) * second
        self._log_mean("train/loss", loss.detach(), labelled + len(kept))
        self._log_mean("pseudo/kept_fraction", labels.kept.float().mean(), len(kept))
        self._log_mean("pseudo/confidence", labels.confidence.mean(), len(kept))
        self._log_mean("pseudo/propagated_fraction", instances.propagated.float().mean(), len(kept))
        return {"loss": loss, "labels": labels}

    def _labelled_inputs(self, pairs: LabelledPairs) -> tuple[Tensor, Tensor]:
        template = photometric(pairs.template, pairs.brightness[:, 0], pairs.grey)
        search = photometric(pairs.search, pairs.brightness[:, 1], pairs.grey)
        return self.student.normalise(template), self.student.normalise(search)

    def pseudo_inputs(self, batch: UnlabelledInstances, labels: TeacherLabels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Make the student's inputs from the teacher's labels.

        Returns:
            Relay template, augmented search crop, the teacher's box in it (like labelled boxes, not clipped to the
            crop), and (B,) bool: labels to learn from, which are kept and have at least a pixel inside the crop.
        """
        size = self.student.search_size
        relay = photometric(batch.relay, batch.brightness[:, 2], batch.grey)
        boxes = to_crop(labels.box, batch.student_geometry, size)
        search, boxes = rotate_flip(batch.student_search, boxes, batch.angle, batch.flip, batch.fill)
        search = photometric(search, batch.brightness[:, 3], batch.grey)
        kept = labels.kept & (clip_boxes(boxes, size, size)[:, 2:] >= 1).all(1)
        return self.student.normalise(relay), self.student.normalise(search), boxes, kept

    def _half(self, half: str, prediction: Any, boxes: Tensor, kept: Tensor, train_iou: bool) -> Tensor:
        terms = mean_terms(self.loss(prediction, boxes, kept, train_iou), self._mean_over_processes)
        total = self.loss.total(terms)
        for name, value in {"loss": total, **terms}.items():
            self._log_mean(f"{half}/{name}", value.detach(), len(boxes))
        self._log_mean(f"{half}/pair_iou", self._pair_iou(prediction, boxes, kept), len(boxes))
        return total

    def _mean_over_processes(self, counts: Tensor) -> Tensor:
        if self._trainer is None or self.trainer.world_size == 1:
            return counts
        mean = self.trainer.strategy.reduce(counts, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean

    @torch.no_grad()
    def _pair_iou(self, prediction: Prediction, boxes: Tensor, kept: Tensor) -> Tensor:
        """Return the mean IoU of the student's best box with the target, over the kept pairs."""
        candidates = self.student.candidates(prediction)
        best = best_cell(candidates, torch.zeros_like(candidates.ious[0]), 0).box
        ious = box_iou(*(box_convert(each.float(), "xywh", "xyxy") for each in (best, boxes))).diagonal()
        return torch.where(kept, ious, 0).sum() / kept.sum().clamp(min=1)

    def _log_mean(self, name: str, value: Tensor, instances: int) -> None:
        """Log the mean over the epoch's instances of all processes, without a transfer in the step."""
        self.log(name, value, on_step=False, on_epoch=True, batch_size=instances, sync_dist=True)

    def on_train_epoch_start(self) -> None:
        """Set everything that depends on the epoch from its number only, so that a resumed run is the same run."""
        torch.manual_seed(hash_seed(self.seed, self.current_epoch, self.global_rank))
        self.student.begin_epoch(self.current_epoch)
        # Lightning would add the epoch counted from 0; all files and loggers count from 1
        self.log("epoch", float(self.current_epoch + 1), on_step=False, on_epoch=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make one optimiser with the network's parameter groups."""
        optimizer = self.optimizer(self.student.parameter_groups(self.recipe.lr, **self.recipe.groups))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "epoch"}}

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Clip the gradient norm if the recipe has a limit."""
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_norm)


def hash_seed(*numbers: int) -> int:
    """Make a 63-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1  # NumPy 1 cannot shift it
