"""The training criterion of SP-Ocean (docs/method.md section 6)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from spot.architectures.base import Terms, masked_sum
from spot.architectures.distance_loss import DistanceLoss, distance_iou
from spot.architectures.ocean.network import OceanPrediction


class OceanLoss(DistanceLoss):
    """Balanced cross-entropy of class, IoU loss of boxes, cross-entropy of alignment, L1 of the predicted IoU.

    The terms are `class`, `box`, `align` and, for labelled pairs, `iou`, each a mean over its own cells of the batch.
    A mean over no cell is 0; the other terms do not change. The published criterion differs in such cases: without a
    positive cell the whole class term is 0, a single positive cell is left out, and the IoU term over no cell is NaN
    (docs/differences.md).

    Args:
        grid, stride, search_size: those of the network.
        class_weight, box_weight, align_weight, iou_weight: weights of the terms in the total.
        radius: cells up to this city-block distance from the target's centre cell are positive.
        iou_margin: fraction of the target's size by which each side moves outwards for the IoU head's cells.
    """

    def __init__(
        self,
        grid: int = 25,
        stride: int = 8,
        search_size: int = 255,
        class_weight: float = 1.0,
        box_weight: float = 1.0,
        align_weight: float = 1.0,
        iou_weight: float = 0.5,
        radius: int = 2,
        iou_margin: float = 0.2,
    ) -> None:
        super().__init__(grid, stride, search_size)
        self.stride, self.search_size = stride, search_size
        self.radius, self.iou_margin = radius, iou_margin
        self.weights = {"class": class_weight, "box": box_weight, "align": align_weight, "iou": iou_weight}

    def forward(self, prediction: OceanPrediction, boxes: Tensor, keep: Tensor, train_iou: bool) -> Terms:
        """Return the unweighted terms; see `TrackerLoss.forward`. Without an align head there is no such term.

        The align label is not detached, as published: the align term moves the boxes too.
        """
        inside = self.inside(boxes) & keep[:, None]
        overlap = distance_iou(prediction.boxes, self.distances(boxes), inside)
        align_label = torch.where(inside, overlap, 0)

        positive = self.positive(boxes)
        class_error = F.binary_cross_entropy_with_logits(
            prediction.logits.squeeze(-1), positive.to(prediction.logits.dtype), reduction="none"
        )
        kept = keep[:, None].expand_as(inside)
        terms: Terms = {
            "class": tuple(masked_sum(class_error, kept & cells).half() for cells in (positive, ~positive)),
            "box": (masked_sum(-overlap.log(), inside),),
        }
        if prediction.align is not None:
            align_error = F.binary_cross_entropy_with_logits(prediction.align, align_label, reduction="none")
            terms["align"] = (masked_sum(align_error, kept),)
        if train_iou:
            error = (prediction.ious - align_label.detach()).abs()
            terms["iou"] = (masked_sum(error, self.inside(boxes, self.iou_margin) & kept),)
        return terms

    def positive(self, boxes: Tensor) -> Tensor:
        """Return (B, N) bool: cells near the target's centre cell.

        The middle cell stands for search_size / 2 here, not for its own position (see the top of `network.py`), and the
        centre's distance from it is cut towards zero.
        """
        center = (boxes[:, :2] + (boxes[:, :2] + boxes[:, 2:])) / 2
        cell = ((center - self.search_size / 2) / self.stride).trunc()
        index = (self.cells - self.search_size // 2) / self.stride
        return (index - cell[:, None]).abs().sum(dim=-1) <= self.radius
