"""Regions of VOT: polygons of four corners, and the boxes that trackers start from."""

from __future__ import annotations

import numpy as np


def is_polygon(truth: np.ndarray) -> bool:
    """Return whether rows of an annotation are corner points x1, y1 .. x4, y4 and not boxes."""
    return truth.ndim == 2 and truth.shape[1] == 8


def enclosing_boxes(polygons: np.ndarray) -> np.ndarray:
    """Upright boxes of the regions, as the VOT integration of trackers computes them.

    The box has the region's centre of corners and the proportions of its bounds, shrunk to about the region's area
    (the product of two adjoining sides), plus one pixel a side.

    Args:
        polygons: (n, 8) corner points x1, y1 .. x4, y4 in pixels.

    Returns:
        (n, 4) float32 xywh; NaN where a corner is NaN.
    """
    corners = np.asarray(polygons, np.float64).reshape(-1, 4, 2)
    center = corners.mean(1)
    low, high = corners.min(1), corners.max(1)
    sides = np.linalg.norm(np.diff(corners[:, :3], axis=1), axis=2)
    bounds = (high - low).prod(1)
    scale = np.sqrt(sides.prod(1) / np.where(bounds > 0, bounds, 1))[:, None]
    size = scale * (high - low) + 1
    return np.concatenate([center - size / 2, size], 1).astype(np.float32)
