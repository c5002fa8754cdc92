"""Boxes `[x, y, w, h]`, in pixels, 0-based top-left corner: overlap, conversion, clipping.

For arrays and tensors alike. A crop's geometry is `[center_x, center_y, resize_factor]`: the centre of the box that it
was taken around, in full-frame pixels, and crop pixels per full-frame pixel (`spot.data.crops`).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of each box with the one in the same row.

    Args:
        a, b: (..., 4) xywh, broadcast against each other.

    Returns:
        (...,) float64 in [0, 1]; 0 where both have no area, NaN where a box is NaN.

    >>> box_iou(np.array([0, 0, 2, 2]), np.array([[0, 0, 2, 2], [1, 0, 2, 2], [5, 5, 1, 1]])).round(3).tolist()
    [1.0, 0.333, 0.0]
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = (high - low).clip(0).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return shared / np.maximum(union, 1e-9)


def to_crop(boxes: Array, geometry: Array, out: int) -> Array:
    """Return boxes from full-frame pixels to crop pixels, not clipped.

    Args:
        boxes: (..., 4) float xywh in full-frame pixels, array or tensor.
        geometry: (..., 3) as `spot.data.crops.crop` gives it, broadcast against `boxes[..., :3]`.
        out: side of the crop in pixels.

    Returns:
        (..., 4) xywh in crop pixels.
    """
    factor = geometry[..., 2:]
    size = boxes[..., 2:] * factor
    center = (out - 1) / 2 + (boxes[..., :2] + 0.5 * boxes[..., 2:] - geometry[..., :2]) * factor
    return _side_by_side(center - 0.5 * size, size)


def to_image(boxes: Array, geometry: Array, out: int) -> Array:
    """Return boxes from crop pixels to full-frame pixels, not clipped: the inverse of `to_crop`, same shapes."""
    factor = geometry[..., 2:]
    size = boxes[..., 2:] / factor
    center = geometry[..., :2] + (boxes[..., :2] + 0.5 * boxes[..., 2:] - (out - 1) / 2) / factor
    return _side_by_side(center - 0.5 * size, size)


def clip_boxes(boxes: Array, width: float | Array, height: float | Array) -> Array:
    """Clip boxes to the image: keep the part inside (docs/method.md section 3).

    The published code clamps x, y, w, h at 0 one by one, which moves a box that sticks out at the left.

    Args:
        boxes: (..., 4) float xywh, array or tensor.
        width, height: image size in pixels, numbers or broadcast against `boxes[..., 0]`.

    Returns:
        (..., 4) xywh within [0, width] x [0, height], a side of 0 where nothing lies inside. A box that lies
        inside is unchanged to the bit.
    """
    x, w = _clip_side(boxes[..., 0], boxes[..., 2], width)
    y, h = _clip_side(boxes[..., 1], boxes[..., 3], height)
    stack: Any = torch.stack if isinstance(boxes, Tensor) else np.stack
    return stack((x, y, w, h), -1)


def touch_image(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Return (...,) bool: boxes (..., 4) xywh with a part inside the image; False for NaN.

    >>> touch_image(np.array([[-5, 0, 10, 10], [100, 0, 10, 10]]), 100, 50).tolist()
    [True, False]
    """
    x, y, w, h = np.moveaxis(boxes, -1, 0)
    return (x < width) & (y < height) & (x + w > 0) & (y + h > 0)


def box_text(box: np.ndarray) -> str:
    """Return a box (4,) as messages write it: `[10, 20.5, 30, 40]`."""
    return "[" + ", ".join(f"{value:g}" for value in np.asarray(box, np.float64).tolist()) + "]"


def _clip_side(start: Any, length: Any, limit: Any) -> tuple[Any, Any]:
    """Clip [start, start + length] to [0, limit], without a far end whose rounding would change what fits."""
    first = start.clip(min=0).clip(max=limit)
    return first, (length + start.clip(max=0)).clip(max=limit - first).clip(min=0)


def _side_by_side(corner: Array, size: Array) -> Array:
    """Return (..., 4) boxes from corners (..., 2) and sizes (..., 2), broadcast."""
    if isinstance(corner, Tensor):
        return torch.cat(torch.broadcast_tensors(corner, size), dim=-1)
    return np.concatenate(np.broadcast_arrays(corner, size), axis=-1)
