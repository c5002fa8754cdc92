"""The teacher: an average of the student over time that labels frames (docs/method.md section 4, items 3 and 4)."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spot.architectures.base import TrackerNetwork, best_cell, hann_window
from spot.data.augmentation import photometric
from spot.data.boxes import clip_boxes, to_image
from spot.data.instances import UnlabelledInstances
from spot.supervision.label_filters import LabelFilter, ProposedLabels


class TeacherLabels(NamedTuple):
    """The teacher's labels of B frames.

    Attributes:
        box: (B, 4) xywh in image pixels, clipped to the image.
        confidence: (B,) predicted IoU in [0, 1].
        kept: (B,) bool, True for labels that passed the label filter.
    """

    box: Tensor
    confidence: Tensor
    kept: Tensor


class Teacher(nn.Module):
    """A frozen copy of the student, always in evaluation mode.

    The published teacher labels with dropout and batch statistics switched on, which disturbs every label
    (docs/differences.md).

    Args:
        student: network to copy.
        label_filter: decides which labels are kept.
        window: weight in [0, 1] of the window centred on the coarse box (temporal calibration).
        decay: fraction of the old average at an update.
    """

    window: Tensor

    def __init__(self, student: TrackerNetwork, label_filter: LabelFilter, window: float, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.label_filter = label_filter
        self.window_weight = window
        self.decay = decay
        self.register_buffer("window", hann_window(student.grid), persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        return super().train(False)

    def label(self, batch: UnlabelledInstances) -> TeacherLabels:
        """Track from the key frame into the centred crop of the unlabelled frame, and filter the labels.

        A box of less than one pixel is never kept.
        """
        network = self.network
        with torch.inference_mode():
            keys = network.normalise(photometric(batch.key, batch.brightness[:, 0]))
            search = network.normalise(photometric(batch.teacher_search, batch.brightness[:, 1]))
            candidates = network.candidates(network(keys, batch.key_box, search))
            best = best_cell(candidates, self.window, self.window_weight)
            crop_box, confidence = best.box.float(), best.confidence.float()
            width, height = batch.image_size.unbind(1)
            box = clip_boxes(to_image(crop_box, batch.teacher_geometry, network.search_size), width, height)
            kept = self.label_filter(ProposedLabels(box, crop_box, confidence), batch, network)
            kept = kept & (box[:, 2:] >= 1).all(1)
        # tensors made in inference mode cannot be part of a graph; their copies can
        return TeacherLabels(box.clone(), confidence.clone(), kept.clone())

    @torch.no_grad()
    def update_ema(self, student: TrackerNetwork, decay: float | None = None) -> None:
        """Move the average towards the student: parameters and floating-point buffers averaged, counters copied.

        Args:
            decay: fraction of the old average; 0 copies the student, None uses the teacher's decay.
        """
        weight = 1 - (self.decay if decay is None else decay)
        ours, theirs = ([*net.parameters(), *net.buffers()] for net in (self.network, student))
        averaged = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in averaged], [b for _, b in averaged], weight)
        for a, b in zip(ours, theirs, strict=True):
            if not a.is_floating_point():
                a.copy_(b)
