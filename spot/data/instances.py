"""What a training batch consists of, and the settings of its crops and augmentation (docs/method.md sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from spot.data.crops import CropRule


@dataclass(frozen=True)
class CropSettings:
    """Sizes in pixels, area factors and jitter of an architecture's crops (docs/method.md section 3).

    `rule` says how the side of a crop follows from the box, see `spot.data.crops.crop_side`.
    """

    template_size: int
    search_size: int
    template_factor: float
    search_factor: float
    center_jitter: float
    scale_jitter: float
    rule: CropRule = "context"


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges of the augmentation draws (docs/method.md section 3).

    Attributes:
        brightness: factor U(1 - brightness, 1 + brightness) per image.
        grey, flip, half_turn: probabilities.
        angle: whole degrees U{-angle..angle}.
        strong: False switches flip and rotation of pseudo-labelled crops off; their jitter stays, as published.
    """

    brightness: float = 0.2
    grey: float = 0.05
    flip: float = 0.35
    angle: int = 10
    half_turn: float = 0.10
    strong: bool = True


class DrawnFrame(NamedTuple):
    """The frames drawn for one unlabelled instance; boxes are (4,) xywh in image pixels.

    Attributes:
        frame, box: the frame to label, and the target's coarse box in it.
        key, key_box: the key frame of the teacher's template, and its human box.
        relay, relay_box: the frame of the student's template, and the box known for it.
        propagated: the frame is unexplored.
    """

    frame: int
    box: np.ndarray
    key: int
    key_box: np.ndarray
    relay: int
    relay_box: np.ndarray
    propagated: bool


class LabelledPairs(NamedTuple):
    """B pairs of key frames.

    Attributes:
        template: (B, 3, T, T) uint8 RGB; template_box: (B, 4) float32 its target, xywh in crop pixels.
        search: (B, 3, S, S) uint8 RGB.
        box: (B, 4) float32 target in the search crop, xywh in crop pixels, not clipped.
        brightness: (B, 2) float32 factors of template and search.
        grey: (B,) bool, both turn grey.
    """

    template: Tensor
    template_box: Tensor
    search: Tensor
    box: Tensor
    brightness: Tensor
    grey: Tensor


class UnlabelledInstances(NamedTuple):
    """B unlabelled frames with the crops for teacher and student.

    Attributes:
        key: (B, 3, T, T) uint8, the teacher's template, a key frame; key_box: (B, 4) float32 its target in the crop.
        teacher_search: (B, 3, S, S) uint8, the frame around its coarse box; teacher_geometry: (B, 3) float32.
        relay: (B, 3, T, T) uint8, the student's template, a relay frame; relay_box: (B, 4) float32 likewise.
        student_search: (B, 3, S, S) uint8, the same frame, jittered; student_geometry: (B, 3) float32.
        image_size: (B, 2) float32 width, height of the frame.
        fill: (B, 3) float32 its mean colour, 0-255.
        brightness: (B, 4) float32 factors of key, teacher_search, relay, student_search.
        grey, flip: (B,) bool; angle: (B,) float32 degrees; of the student's crops.
        target_index, frame: (B,) int64, what a label is recorded under.
        number: (B,) int64, of the instance in its epoch.
        propagated: (B,) bool, drawn by propagating rather than reviewing.
        key_search: (B, 3, S, S) uint8, a jittered search crop of the key frame; key_search_box: (B, 4) float32 its human
            box in it, xywh in crop pixels. None unless a label filter asks for them.
    """

    key: Tensor
    key_box: Tensor
    teacher_search: Tensor
    teacher_geometry: Tensor
    relay: Tensor
    relay_box: Tensor
    student_search: Tensor
    student_geometry: Tensor
    image_size: Tensor
    fill: Tensor
    brightness: Tensor
    grey: Tensor
    flip: Tensor
    angle: Tensor
    target_index: Tensor
    frame: Tensor
    number: Tensor
    propagated: Tensor
    key_search: Tensor | None = None
    key_search_box: Tensor | None = None


class Batch(NamedTuple):
    """The part of a step of one process; `unlabelled` is None in burn-in, `broken` lists frames that cannot be read."""

    labelled: LabelledPairs
    unlabelled: UnlabelledInstances | None
    broken: list[str]

    @property
    def instances(self) -> int:
        """Number of labelled pairs and unlabelled instances."""
        return len(self.labelled.box) + (0 if self.unlabelled is None else len(self.unlabelled.target_index))


Arrays = dict[str, Any]  # one instance: the fields of LabelledPairs or UnlabelledInstances without the batch dimension
Instances = TypeVar("Instances", LabelledPairs, UnlabelledInstances)


def collate(kind: type[Instances], items: Sequence[Arrays]) -> Instances:
    """Stack single instances into a batch of that kind."""
    return kind(**{name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]})
