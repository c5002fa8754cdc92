"""How a tracker learns from few labels: burn-in, then teacher and student (METHOD.md section 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchvision.ops import box_convert, box_iou

from spot.architectures.base import Prediction, TrackerLoss, TrackerNetwork, best_cell, mean_terms, rows
from spot.architectures.convolution import quick_convolutions
from spot.data.augmentation import photometric, rotate_flip
from spot.data.crops import to_crop
from spot.data.pairs import Batch, LabelledPairs, UnlabelledInstances
from spot.state.store import PseudoLabels
from spot.supervision.teacher import Teacher, TeacherLabels
from spot.training.data_module import TrackingData


class Recipe:
    """How an architecture is optimised.

    Args:
        optimizer: builds it from parameter groups.
        scheduler: builds it from the optimiser; it steps once an epoch.
        lr: highest learning rate.
        clip_norm: largest gradient norm, None for no clipping; with it a step whose norm is not finite is skipped.
        groups: further options are arguments of the network's `parameter_groups`, such as backbone_lr_ratio.
    """

    def __init__(
        self,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        lr: float,
        clip_norm: float | None = None,
        **groups: Any,
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.lr, self.clip_norm, self.groups = lr, clip_norm, groups


class SparseTracker(pl.LightningModule):
    """Student and teacher of one architecture.

    Attributes:
        recorded: the epoch's labels of this process, a tensor a step: (B, 9) float64 number, target_index, frame, kept, xywh,
            confidence.

    Args:
        network, loss: of the architecture.
        recipe: how it is optimised.
        teacher: makes the teacher from the student; None for runs without pseudo labels.
        burn_in: epochs of labelled pairs alone.
        ema_interval: sparse steps between two updates of the teacher; 0 keeps the teacher of the end of burn-in.
        seed: of dropout, with the epoch and the process's rank.
        arch: name kept in the checkpoint, so that it is never loaded into another architecture.
    """

    def __init__(
        self,
        network: TrackerNetwork,
        loss: TrackerLoss,
        recipe: Recipe,
        teacher: Callable[[TrackerNetwork], Teacher] | None,
        burn_in: int,
        ema_interval: int,
        seed: int,
        arch: str,
    ) -> None:
        super().__init__()
        self.student = quick_convolutions(network)
        self.loss = loss
        self.recipe = recipe
        self.teacher = None if teacher is None else teacher(network)
        self.burn_in = burn_in
        self.ema_interval = ema_interval
        self.seed = seed
        self.skipped_steps = 0
        self.recorded: list[Tensor] = []
        self.save_hyperparameters({"arch": arch})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one step; records what the teacher said for the sampler state."""
        template, search, boxes = self._labelled_inputs(batch.labelled)
        template_boxes = batch.labelled.template_box
        labelled = len(boxes)
        if batch.unlabelled is None:
            kept = torch.ones(labelled, dtype=torch.bool, device=boxes.device)
            return self._half("labelled", self.student(template, template_boxes, search), boxes, kept, train_iou=True)

        assert self.teacher is not None
        labels = self.teacher.label(batch.unlabelled)
        self._record(batch.unlabelled, labels)
        relay, aug_search, pseudo_boxes, kept = self.pseudo_inputs(batch.unlabelled, labels)
        relay_boxes = batch.unlabelled.relay_box
        prediction = self.student(
            torch.cat([template, relay]), torch.cat([template_boxes, relay_boxes]), torch.cat([search, aug_search])
        )

        everything = torch.ones(labelled, dtype=torch.bool, device=boxes.device)
        first = self._half("labelled", rows(prediction, 0, labelled), boxes, everything, train_iou=True)
        second = self._half("pseudo", rows(prediction, labelled), pseudo_boxes, kept, train_iou=False)
        labelled_fraction = labelled / (labelled + len(kept))
        loss = labelled_fraction * first + (1 - labelled_fraction) * second
        self._log_mean("train/loss", loss.detach(), labelled + len(kept))
        self._log_mean("pseudo/kept_fraction", labels.kept.float().mean(), len(kept))
        self._log_mean("pseudo/confidence", labels.confidence.mean(), len(kept))
        self._log_mean("pseudo/propagated_fraction", batch.unlabelled.propagated.float().mean(), len(kept))
        return loss

    def _labelled_inputs(self, pairs: LabelledPairs) -> tuple[Tensor, Tensor, Tensor]:
        template = photometric(pairs.template, pairs.brightness[:, 0], pairs.grey)
        search = photometric(pairs.search, pairs.brightness[:, 1], pairs.grey)
        return self.student.normalise(template), self.student.normalise(search), pairs.box

    def pseudo_inputs(self, batch: UnlabelledInstances, labels: TeacherLabels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Relay template, augmented search crop, the teacher's box in it, and which labels can be learnt from."""
        size = self.student.search_size
        relay = photometric(batch.relay, batch.brightness[:, 2], batch.grey)
        boxes = to_crop(labels.box, batch.student_geometry, size)
        search, boxes = rotate_flip(batch.student_search, boxes, batch.angle, batch.flip, batch.fill)
        search = photometric(search, batch.brightness[:, 3], batch.grey)
        # a box that the shifted crop cuts down to nothing teaches nothing
        kept = labels.kept & (boxes[:, 2:] >= 1).all(1)
        return self.student.normalise(relay), self.student.normalise(search), boxes, kept

    def _half(self, half: str, prediction: Any, boxes: Tensor, kept: Tensor, train_iou: bool) -> Tensor:
        terms = mean_terms(self.loss(prediction, boxes, kept, train_iou))
        total = self.loss.total(terms)
        for name, value in {"loss": total, **terms}.items():
            self._log_mean(f"{half}/{name}", value.detach(), len(boxes))
        self._log_mean(f"{half}/pair_iou", self._pair_iou(prediction, boxes, kept), len(boxes))
        return total

    @torch.no_grad()
    def _pair_iou(self, prediction: Prediction, boxes: Tensor, kept: Tensor) -> Tensor:
        """Mean IoU of the student's best box with the target, over the kept pairs."""
        candidates = self.student.candidates(prediction)
        best = best_cell(candidates, torch.zeros_like(candidates.ious[0]), 0).box
        ious = box_iou(*(box_convert(each.float(), "xywh", "xyxy") for each in (best, boxes))).diagonal()
        return (ious * kept).sum() / kept.sum().clamp(min=1)

    def _log_mean(self, name: str, value: Tensor, instances: int) -> None:
        """Mean over the epoch's instances of all processes; nothing is transferred in a step."""
        self.log(name, value, on_step=False, on_epoch=True, batch_size=instances, sync_dist=True)

    def _record(self, batch: UnlabelledInstances, labels: TeacherLabels) -> None:
        """Keep the teacher's words on the device until the epoch ends: no transfer in a step."""
        whole = torch.stack([batch.number, batch.target_index, batch.frame, labels.kept.long()], 1).double()
        self.recorded.append(torch.cat([whole, labels.box.double(), labels.confidence[:, None].double()], 1))

    def on_train_epoch_end(self) -> None:
        """Merge the epoch's labels of all processes into the sampler state."""
        data = self._data()
        if self.recorded:
            mine = torch.cat(self.recorded)
            self.recorded.clear()
            gathered = self.all_gather(mine)
            assert isinstance(gathered, Tensor)
            labels = gathered.reshape(-1, mine.shape[1]).cpu().numpy()
            labels = labels[np.argsort(labels[:, 0], kind="stable")]
            labels = labels[labels[:, 3] > 0]
            results = PseudoLabels(
                labels[:, 1].astype(np.int64),
                labels[:, 2].astype(np.int64),
                labels[:, 4:8].astype(np.float32),
                labels[:, 8].astype(np.float32),
            )
            if self.trainer.is_global_zero:
                report = data.commit(results, self.current_epoch + 1)
                self._log_state("state/inserted", report.inserted)
                self._log_state("state/replaced", report.replaced)
            self.trainer.strategy.barrier("state commit")
            iou = data.targets.label_iou(results.target_index, results.frame, results.box)
            if len(iou):
                self._log_state("pseudo_label_iou", float(iou.mean()))
        if self.teacher is not None:
            if self.current_epoch < self.burn_in:
                self.teacher.update_ema(self.student, decay=0)
            state = data.store.at(self.current_epoch + 1)
            self._log_state("teacher_spread", self._teacher_spread())
            self._log_state("explored_fraction", float(state.explored_counts.sum() / state.lengths.sum()))
            for name, fraction in data.targets.explored_by_set(state.explored_counts).items():
                self._log_state(f"explored_fraction/{name}", fraction)
        for group in self.trainer.optimizers[0].param_groups:
            self._log_state(f"learning_rate/{group['name']}", group["lr"])
        self._log_state("skipped_steps", self.skipped_steps)
        self._log_state("broken_frames", data.count_epoch())

    def _teacher_spread(self) -> float:
        """By how much the processes' teachers differ: 0, or something is wrong with their averaging."""
        assert self.teacher is not None
        sums = torch.stack([tensor.double().sum() for tensor in self.teacher.network.state_dict().values()])
        gathered = self.all_gather(sums)
        assert isinstance(gathered, Tensor)
        return float((gathered.reshape(-1, len(sums)) - sums).abs().max())

    def _log_state(self, name: str, value: float) -> None:
        self.log(name, float(value), on_step=False, on_epoch=True, rank_zero_only=True)

    def _data(self) -> TrackingData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, TrackingData)
        return data

    def on_train_end(self) -> None:
        """Say what has been explored, and how good the recorded labels are where that can be known."""
        if self.teacher is None or not self.trainer.is_global_zero:
            return
        state = self._data().store.at(self.current_epoch + 1)
        explored, quality = self._data().recorded_quality(state)
        shares = f"explored {explored} of {int(state.lengths.sum())} frames"
        print(shares + (f"; recorded pseudo labels: {quality:.3f} mean IoU to the annotation" if quality else ""))

    def on_train_epoch_start(self) -> None:
        """Everything that depends on the epoch follows from its number alone, so that a resumed run is the same run."""
        torch.manual_seed(hash_seed(self.seed, self.current_epoch, self.global_rank))
        self.student.begin_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """The teacher moves before it labels; unreadable frames are counted."""
        self._data().count_broken(batch)
        sparse_step = (self.current_epoch - self.burn_in) * self._data().plan.steps + batch_idx
        if self.teacher is not None and self.ema_interval and sparse_step > 0 and sparse_step % self.ema_interval == 0:
            self.teacher.update_ema(self.student)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser with the network's groups of parameters."""
        optimizer = self.recipe.optimizer(self.student.parameter_groups(self.recipe.lr, **self.recipe.groups))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.recipe.scheduler(optimizer), "interval": "epoch"},
        }

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Clip by norm; a step with a non-finite norm is skipped whole and counted."""
        if self.recipe.clip_norm is None:
            return
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_norm)
        if not torch.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)  # without gradients the optimiser leaves everything as it is
            self.skipped_steps += 1


def hash_seed(*numbers: int) -> int:
    """A 63-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
