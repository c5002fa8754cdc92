"""Boxes `[x, y, w, h]`, in pixels, 0-based top-left corner: overlap, conversion, clipping; each once.

For NumPy arrays and for tensors. From and to a crop: `to_crop`, `to_image`.
"""

from __future__ import annotations

import numpy as np


def pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of each box with the one in the same row.

    Args:
        a, b: (..., 4) xywh, broadcast against each other.

    Returns:
        (...,) float64 in [0, 1]; 0 where both have no area, NaN where a box is NaN.

    >>> pairwise_iou(np.array([0, 0, 2, 2]), np.array([[0, 0, 2, 2], [1, 0, 2, 2], [5, 5, 1, 1]])).round(3).tolist()
    [1.0, 0.333, 0.0]
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = (high - low).clip(0).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return shared / np.maximum(union, 1e-9)
