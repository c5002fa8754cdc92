"""What a network says of a search crop, and the small interface by which the rest knows an architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Prediction(NamedTuple):
    """Raw outputs for B search crops with N = grid * grid cells, row by row.

    Attributes:
        logits: (B, N, C) class logits; C = 2 for TransT (target, background), 1 for Ocean.
        boxes: (B, N, 4) in the architecture's own parametrisation; `TrackerNetwork.candidates` makes them pixels.
        ious: (B, N) predicted IoU of each box, in [0, 1].
        align: (B, N) alignment logits (Ocean), or None.
    """

    logits: Tensor
    boxes: Tensor
    ious: Tensor
    align: Tensor | None = None

    def rows(self, start: int, stop: int | None = None) -> Prediction:
        """The predictions of the instances `start:stop` of the batch."""
        align = None if self.align is None else self.align[start:stop]
        return Prediction(self.logits[start:stop], self.boxes[start:stop], self.ious[start:stop], align)


class Candidates(NamedTuple):
    """The same in a form common to all architectures.

    Attributes:
        scores: (B, N) in [0, 1].
        boxes: (B, N, 4) xywh in pixels of the search crop.
        ious: (B, N) in [0, 1].
    """

    scores: Tensor
    boxes: Tensor
    ious: Tensor


class Best(NamedTuple):
    """The best cell of each crop: box (B, 4) xywh in crop pixels, score (B,), confidence (B,) = predicted IoU, cell (B,)."""

    box: Tensor
    score: Tensor
    confidence: Tensor
    cell: Tensor


class TrackerNetwork(nn.Module, ABC):
    """A Siamese tracker: a template is encoded once and found again in search crops.

    Subclasses set `template_size`, `search_size` (pixels), `grid` (score cells a side) and `backbone` (the pre-trained part,
    which the recipes train at another rate or freeze). Images are float, normalised by `normalise`.
    """

    template_size: int
    search_size: int
    grid: int
    backbone: nn.Module
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, pixel_mean: tuple[float, ...] = IMAGENET_MEAN, pixel_std: tuple[float, ...] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)

    @abstractmethod
    def encode_template(self, template: Tensor) -> tuple[Tensor, ...]:
        """Encode (B, 3, template_size, template_size); every returned tensor is batch-first."""

    @abstractmethod
    def predict(self, code: tuple[Tensor, ...], search: Tensor) -> Prediction:
        """Find the encoded targets in (B, 3, search_size, search_size)."""

    @abstractmethod
    def candidates(self, prediction: Prediction) -> Candidates:
        """Scores, pixel boxes and predicted IoUs of every cell."""

    def forward(self, template: Tensor, search: Tensor) -> Prediction:
        """Template and search crops of the same B instances."""
        return self.predict(self.encode_template(template), search)

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] to the network's input range, in the images' own dtype."""
        return (images - self.pixel_mean.to(images.dtype)) / self.pixel_std.to(images.dtype)


class TrackerLoss(nn.Module, ABC):
    """The training criterion of an architecture: terms by name and the weight of each."""

    weights: dict[str, float]

    @abstractmethod
    def forward(self, prediction: Prediction, boxes: Tensor, keep: Tensor, train_iou: bool) -> dict[str, Tensor]:
        """Unweighted loss terms, scalars.

        Args:
            prediction: outputs for B search crops.
            boxes: (B, 4) target boxes, xywh in pixels of the search crop.
            keep: (B,) bool; instances that are False contribute nothing, as if they were not in the batch. With none kept
                every term is 0 with a defined (zero) gradient.
            train_iou: include the term of the IoU head (labelled pairs only, METHOD.md section 6).
        """

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the terms."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()


def hann_window(grid: int, device: torch.device | None = None) -> Tensor:
    """(grid * grid,) float32 outer product of two symmetric Hann windows, row by row (METHOD.md section 4)."""
    window = torch.hann_window(grid, periodic=False, device=device)
    return torch.outer(window, window).flatten()


def best_cell(candidates: Candidates, window: Tensor, window_weight: float) -> Best:
    """Blend the scores with a window centred on the crop and take the best cell of each crop.

    Args:
        candidates: of B crops with N cells.
        window: (N,) from `hann_window`.
        window_weight: 0 trusts the scores alone, 1 the window alone (temporal calibration, METHOD.md section 4).
    """
    score, cell = (window_weight * window + (1 - window_weight) * candidates.scores).max(dim=1)
    box = candidates.boxes.gather(1, cell[:, None, None].expand(-1, 1, 4)).squeeze(1)
    return Best(box, score, candidates.ious.gather(1, cell[:, None]).squeeze(1), cell)
