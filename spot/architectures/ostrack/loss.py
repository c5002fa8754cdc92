"""The training criterion of OSTrack."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import box_convert

from spot.architectures.base import Mean, Terms, TrackerLoss, masked_sum
from spot.architectures.ostrack.network import OSTrackPrediction
from spot.architectures.transt.loss import iou_and_giou
from spot.runtime.errors import SpotError

OVERLAP = 0.7  # least IoU of a box whose corners lie within the radius of the centre target


class OSTrackLoss(TrackerLoss):
    """Focal loss of the centre's score map, L1 and GIoU of the best cell's box, and L1 of the predicted IoU.

    The terms are `focal`, `box`, `giou` and, for labelled pairs, `iou`. With `quality="score"` the score itself is the
    predicted IoU: on labelled pairs its target at the centre is the IoU of the box there (quality focal loss, as in LoRAT)
    instead of 1, and there is no term `iou`.

    Args:
        search_size: side of the search crop in pixels.
        grid: cells a side of the network's maps.
        giou_weight, box_weight, focal_weight, iou_weight: weights of the terms in the total.
        quality: as the network's.
    """

    def __init__(
        self,
        search_size: int = 256,
        grid: int = 16,
        giou_weight: float = 2.0,
        box_weight: float = 5.0,
        focal_weight: float = 1.0,
        iou_weight: float = 1.0,
        quality: Literal["iou_head", "score"] = "iou_head",
    ) -> None:
        super().__init__()
        self.search_size, self.grid, self.quality = search_size, grid, quality
        self.weights = {"focal": focal_weight, "box": box_weight, "giou": giou_weight, "iou": iou_weight}

    def forward(self, prediction: OSTrackPrediction, boxes: Tensor, keep: Tensor, train_iou: bool) -> Terms:
        """Unweighted terms as sums and counts; see `TrackerLoss.forward`."""
        if (cells := prediction.scores.shape[-1]) != self.grid:
            raise SpotError(
                f"arch.loss.grid={self.grid}: the network's maps have {cells} cells a side; set it to {cells}"
            )
        # An instance that is not kept may have any box, even NaN. A valid box replaces it.
        boxes = torch.where(keep[:, None], boxes / self.search_size, boxes.new_tensor([0.25, 0.25, 0.5, 0.5]))
        truth = box_convert(boxes, "xywh", "xyxy").clamp(0, 1)
        best = prediction.scores.flatten(1).argmax(1)
        predicted = self._boxes(prediction, best)
        _, giou = iou_and_giou(predicted, truth)
        everything = keep[:, None].expand(-1, 4)
        heat = centre_targets(boxes, self.grid)
        quality = None
        if train_iou and self.quality == "score":
            peak = heat.flatten(1).argmax(1)
            quality, _ = iou_and_giou(self._boxes(prediction, peak).detach(), truth)
        terms: Terms = {
            "focal": (focal(prediction.scores, heat, keep, quality),),
            "box": (masked_sum((predicted - truth).abs(), everything),),
            "giou": (masked_sum(1 - giou, keep),),
        }
        if train_iou and self.quality == "iou_head":
            terms["iou"] = (self._iou_term(prediction, truth, heat, keep),)
        return terms

    def _boxes(self, prediction: OSTrackPrediction, cell: Tensor) -> Tensor:
        """Return (B, 4) xyxy, relative to the crop, of the box that each instance's cell (B,) predicts."""
        index = cell[:, None, None].expand(-1, 2, 1)
        offset, size = (maps.flatten(2).gather(2, index).squeeze(2) for maps in (prediction.offsets, prediction.sizes))
        column_row = torch.stack([cell % self.grid, cell // self.grid], dim=1)
        center = (column_row + offset) / self.grid
        return torch.cat([center - size / 2, center + size / 2], dim=1)

    def _iou_term(self, prediction: OSTrackPrediction, truth: Tensor, heat: Tensor, keep: Tensor) -> Mean:
        """L1 of the predicted IoU on the cells of the centre target and on the best cell of each labelled pair."""
        cells = torch.arange(self.grid**2, device=truth.device)
        column_row = torch.stack([cells % self.grid, cells // self.grid])
        centers = (column_row + prediction.offsets.detach().flatten(2)) / self.grid
        sizes = prediction.sizes.detach().flatten(2)
        boxes = torch.cat([centers - sizes / 2, centers + sizes / 2], dim=1).transpose(1, 2)
        iou, _ = iou_and_giou(boxes, truth[:, None])
        wanted = heat.flatten(1) > 0
        wanted = wanted.scatter(1, prediction.scores.flatten(1).argmax(1, keepdim=True), True)
        return masked_sum((prediction.ious.flatten(1) - iou).abs(), wanted & keep[:, None])


def focal(scores: Tensor, heat: Tensor, keep: Tensor, quality: Tensor | None = None) -> Mean:
    """Focal loss of score maps against Gaussian targets, over the number of centres (CornerNet, CenterNet).

    Args:
        scores: (B, grid, grid) in (0, 1).
        heat: (B, grid, grid) targets in [0, 1]; 1 at the centre, nowhere if that lies outside the crop.
        keep: (B,) bool, instances that count.
        quality: (B,) targets at the centres instead of 1, or None.
    """
    peak = heat == 1
    at_peak = (1 - scores) ** 2 * -scores.log()
    if quality is not None:
        wanted = quality[:, None, None]
        cross_entropy = -(wanted * scores.log() + (1 - wanted) * (1 - scores).log())
        at_peak = (wanted - scores).abs() ** 2 * cross_entropy
    elsewhere = scores**2 * (1 - heat) ** 4 * -(1 - scores).log()
    kept = keep[:, None, None]
    total = torch.where(kept, torch.where(peak, at_peak, elsewhere), 0).sum()
    return Mean(total, (peak & kept).sum())


def centre_targets(boxes: Tensor, grid: int) -> Tensor:
    """Draw a Gaussian around the centre cell of each box.

    The radius follows CornerNet, including its well-known wrong root, as published.

    Args:
        boxes: (B, 4) xywh relative to the crop, of any size.
        grid: cells a side.

    Returns:
        (B, grid, grid) in [0, 1]; the value is 1 at the centre's cell, which may lie outside.
    """
    size = boxes[:, 2:] * grid
    center = ((boxes[:, :2] + boxes[:, 2:] / 2) * grid).round()
    radius = _radius(size).clamp(min=0).floor()
    axis = torch.arange(grid, device=boxes.device, dtype=boxes.dtype)
    distance = axis - center[:, :, None]  # (B, 2, grid)
    inside = distance.abs() <= radius[:, None, None]
    sigma = (2 * radius + 1) / 6
    exponent = distance**2 / (2 * sigma**2)[:, None, None]
    heat = torch.exp(-(exponent[:, 0, None, :] + exponent[:, 1, :, None]))
    return torch.where(inside[:, 0, None, :] & inside[:, 1, :, None], heat, 0)


def _radius(size: Tensor) -> Tensor:
    """Map (B, 2) w, h in cells to (B,) radii; the smallest of CornerNet's three cases."""
    total, area = size.sum(1), size.prod(1)
    cases = (
        (total, area * (1 - OVERLAP) / (1 + OVERLAP), 4),
        (2 * total, area * (1 - OVERLAP), 16),
        (-2 * OVERLAP * total, area * (OVERLAP - 1), 16 * OVERLAP),
    )
    return torch.stack([(b + (b**2 - factor * c).clamp(min=0).sqrt()) / 2 for b, c, factor in cases]).amin(0)
