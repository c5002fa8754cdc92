"""What the losses of Ocean and NanoTrack share: cells that predict distances to the four sides of a box."""

from __future__ import annotations

import torch
from torch import Tensor

from spot.architectures.base import TrackerLoss, cell_positions


class DistanceLoss(TrackerLoss):
    """Knows the cells' positions: `cells`, (N, 2) x, y in pixels of the search crop.

    Args:
        grid, stride, search_size: those of the network.
    """

    cells: Tensor

    def __init__(self, grid: int, stride: int, search_size: int) -> None:
        super().__init__()
        self.register_buffer("cells", cell_positions(grid, stride, search_size), persistent=False)

    def distances(self, boxes: Tensor, margin: float = 0.0) -> Tensor:
        """Return (B, N, 4) distances from each cell to the left, top, right and bottom of its (B, 4) xywh box.

        Each side is first moved outwards by `margin` of the box's size, which counts as 1 px where it is less.
        """
        reach = margin * boxes[:, 2:].clamp(min=1)
        low, high = boxes[:, :2] - reach, boxes[:, :2] + boxes[:, 2:] + reach
        return torch.cat([self.cells - low[:, None], high[:, None] - self.cells], dim=-1)

    def inside(self, boxes: Tensor, margin: float = 0.0) -> Tensor:
        """Return (B, N) bool: cells strictly inside the boxes, enlarged as in `distances`."""
        return (self.distances(boxes, margin) > 0).all(dim=-1)


def distance_iou(predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return (B, N) (intersection + 1) / (union + 1) of two boxes given by their distances from a common cell.

    Args:
        predicted: (B, N, 4) distances left, top, right, bottom in pixels, > 0.
        target: the same; negative where the cell lies beyond that side.
        valid: (B, N) bool; where it is False the result is 1 without gradient. None: everywhere valid.
    """
    if valid is not None:
        predicted, target = (torch.where(valid[..., None], d, 1.0) for d in (predicted, target))
    shared = torch.minimum(predicted, target)
    width, height = (shared[..., :2] + shared[..., 2:]).clamp(min=0).unbind(-1)
    intersection = width * height
    areas = [(d[..., 0] + d[..., 2]) * (d[..., 1] + d[..., 3]) for d in (predicted, target)]
    return (intersection + 1) / (areas[0] + areas[1] - intersection + 1)
