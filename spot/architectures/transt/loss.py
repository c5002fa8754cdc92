"""The training criterion of TransT (docs/method.md section 6)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert

from spot.architectures.base import Mean, Terms, TrackerLoss, masked_sum
from spot.architectures.transt.network import TransTPrediction


class TransTLoss(TrackerLoss):
    """Cross-entropy over all cells, L1 and GIoU over target cells, and L1 of the predicted IoU.

    The terms are `class`, `box`, `giou` and, for labelled pairs, `iou`.

    Args:
        search_size: side of the search crop in pixels.
        class_weight, box_weight, giou_weight, iou_weight: weights of the terms in the total.
        background_weight: weight of a background cell in the class term; a target cell weighs 1.
        ring: cells around the target's rectangle on which the IoU head is trained too.
    """

    def __init__(
        self,
        search_size: int = 256,
        class_weight: float = 8.334,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        iou_weight: float = 1.0,
        background_weight: float = 0.0625,
        ring: int = 3,
    ) -> None:
        super().__init__()
        self.search_size = search_size
        self.weights = {"class": class_weight, "box": box_weight, "giou": giou_weight, "iou": iou_weight}
        self.background_weight = background_weight
        self.ring = ring

    def forward(self, prediction: TransTPrediction, boxes: Tensor, keep: Tensor, train_iou: bool) -> Terms:
        """Return the unweighted terms; see `TrackerLoss.forward`."""
        # An instance that is not kept may have any box, even NaN. A valid box replaces it; its cells do not count.
        whole = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
        boxes = torch.where(keep[:, None], boxes / self.search_size, whole)
        grid = math.isqrt(prediction.logits.shape[1])
        inside, ring = target_cells(boxes, grid, self.ring)
        kept = keep[:, None]
        target = box_convert(boxes, "xywh", "cxcywh")[:, None]
        distance = (prediction.boxes - target).abs().sum(-1)
        iou, giou = iou_and_giou(
            box_convert(prediction.boxes, "cxcywh", "xyxy"), box_convert(boxes, "xywh", "xyxy")[:, None]
        )
        positive = inside & kept
        terms: Terms = {
            "class": (self._class_term(prediction.logits, inside, kept),),
            "box": (masked_sum(distance, positive),),
            "giou": (masked_sum(1 - giou, positive),),
        }
        if train_iou:
            error = (prediction.ious - iou.detach()).abs()
            terms["iou"] = masked_sum(error, positive), masked_sum(error, ring & kept)
        return terms

    def _class_term(self, logits: Tensor, inside: Tensor, kept: Tensor) -> Mean:
        """Return the class-weighted mean over kept cells of (B, N, 2) logits, (B, N) target cells, (B, 1) kept instances."""
        entropy = F.cross_entropy(logits.transpose(1, 2), (~inside).long(), reduction="none")
        weight = torch.where(inside, 1.0, self.background_weight).to(entropy.dtype) * kept
        return Mean((weight * entropy).sum(), weight.sum())


def target_cells(boxes: Tensor, grid: int, ring: int) -> tuple[Tensor, Tensor]:
    """Cells of a rectangle and of the ring around it.

    Args:
        boxes: (B, 4) xywh relative to the search crop.
        grid: cells a side. A box covers [ceil(x0 * grid), ceil(x1 * grid)), cut at the grid's border and at least
            one cell.
        ring: width of the ring in cells.

    Returns:
        Two (B, grid * grid) bool tensors, row by row: the rectangle; the ring around it, without the rectangle.
    """
    # In double precision, as published: the last bits decide whether a border lies on the edge of a cell or past it.
    exact = boxes if boxes.device.type == "mps" else boxes.double()
    corners = (box_convert(exact, "xywh", "xyxy") * grid).ceil()
    first = corners[:, :2].clamp(0, grid - 1)
    last = torch.maximum(corners[:, 2:].clamp(max=grid), first + 1)
    cells = torch.arange(grid, device=boxes.device)[:, None]

    def rectangle(first: Tensor, last: Tensor) -> Tensor:
        columns, rows = ((cells >= first[:, None]) & (cells < last[:, None])).unbind(-1)
        return (rows[:, :, None] & columns[:, None, :]).flatten(1)

    inside = rectangle(first, last)
    return inside, rectangle(first - ring, last + ring) & ~inside


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU in [0, 1] and generalised IoU in [-1, 1] of boxes xyxy, pair by pair; shapes (..., 4) broadcast."""
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    overlap_area, hull_area = overlap.prod(-1), hull.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap_area
    tiny = torch.finfo(union.dtype).tiny
    iou = overlap_area / union.clamp(min=tiny)
    return iou, iou - (hull_area - union) / hull_area.clamp(min=tiny)
