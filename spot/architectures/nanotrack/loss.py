"""NanoTrack's training criterion, with the term of the project's IoU head."""

from __future__ import annotations

import torch
from torch import Tensor

from spot.architectures.base import Mean, Terms, masked_sum
from spot.architectures.distance_loss import DistanceLoss, distance_iou
from spot.architectures.nanotrack.network import STRIDE, NanoPrediction


class NanoLoss(DistanceLoss):
    """Balanced cross-entropy of the class, IoU loss of the boxes, L1 of the predicted IoU.

    The terms are `class`, `box` and, for labelled pairs, `iou`, each a mean over its own cells of the batch.

    A cell is positive inside the ellipse of half the target's size, negative outside the ellipse of its whole size, and
    ignored between them. Differences from the published criterion:
    - It draws at most 16 positive and 48 negative cells of each image. Here every cell counts, and the cells of an image
      weigh together as many as would be drawn: the same mean, without the noise.
    - There, a target below about 32 pixels may have no positive cell. Here the cell nearest to its centre is one.
    - There, the class term lacks a half with a single cell, and no positive cell at all is an error.

    Args:
        grid, search_size: those of the network.
        class_weight, box_weight, iou_weight: weights of the terms in the total.
        positives, negatives: largest number of cells for which an image counts.
        iou_margin: fraction of the target's size by which each side moves outwards for the IoU head's cells.
    """

    def __init__(
        self,
        grid: int = 16,
        search_size: int = 255,
        class_weight: float = 1.0,
        box_weight: float = 1.0,
        iou_weight: float = 1.0,
        positives: int = 16,
        negatives: int = 48,
        iou_margin: float = 0.2,
    ) -> None:
        super().__init__(grid, STRIDE, search_size)
        self.positives, self.negatives, self.iou_margin = positives, negatives, iou_margin
        self.weights = {"class": class_weight, "box": box_weight, "iou": iou_weight}

    def forward(self, prediction: NanoPrediction, boxes: Tensor, keep: Tensor, train_iou: bool) -> Terms:
        """Return the unweighted terms; see `TrackerLoss.forward`."""
        kept = keep[:, None]
        positive, negative = (cells & kept for cells in self.labels(boxes))
        log_background, log_target = prediction.logits.log_softmax(dim=-1).unbind(-1)
        overlap = distance_iou(prediction.distances, self.distances(boxes))
        terms: Terms = {
            "class": (
                _weighted_sum(-log_target, _capped(positive, self.positives)).half(),
                _weighted_sum(-log_background, _capped(negative, self.negatives)).half(),
            ),
            "box": (_weighted_sum(1 - overlap, _capped(positive, self.positives)),),
        }
        if train_iou:
            near = self.inside(boxes, self.iou_margin) | positive
            terms["iou"] = (masked_sum((prediction.ious - overlap.detach()).abs(), near & kept),)
        return terms

    def labels(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Positive and negative cells, (B, N) bool each, for (B, 4) xywh target boxes in search pixels."""
        offset = self.cells - (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]
        radius = ((offset / boxes[:, None, 2:].clamp(min=1)) ** 2).sum(dim=-1).sqrt()  # 1/4: half size, 1/2: whole size
        nearest = torch.zeros_like(radius, dtype=torch.bool)
        nearest.scatter_(1, (offset**2).sum(dim=-1).argmin(dim=1, keepdim=True), True)
        positive = (radius < 1 / 4) | nearest
        return positive, (radius > 1 / 2) & ~positive


def _capped(cells: Tensor, most: int) -> Tensor:
    """Return (B, N) weights of the cells that are True; an image's weights add up to `most` at most."""
    return cells * (most / cells.sum(dim=1, keepdim=True).clamp(min=1)).clamp(max=1)


def _weighted_sum(values: Tensor, weights: Tensor) -> Mean:
    return Mean((torch.where(weights > 0, values, 0) * weights).sum(), weights.sum())
