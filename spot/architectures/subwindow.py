"""Square windows of frames, as both trackers cut them (docs/method.md sections 3 and 7)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor


def subwindow(frame: np.ndarray, corner: np.ndarray, side: int, out: int, fill: np.ndarray) -> np.ndarray:
    """Return a square of whole pixels, resized.

    Only the part inside the frame is touched, so the cost is that of the window and not of the frame.

    Args:
        frame: (H, W, 3) uint8.
        corner: (2,) int, x and y of the first pixel; may lie outside the frame.
        side: pixels a side, at least 1.
        out: pixels a side of the result; bilinear, half-pixel centres, no smoothing (as the published crops).
        fill: (3,) colour outside the frame, [0, 255]; cut to whole numbers, not rounded (likewise).

    Returns:
        (out, out, 3) uint8.
    """
    size = np.array(frame.shape[1::-1])
    low = np.clip(corner, 0, size)
    high = np.clip(corner + side, low, size)
    window = frame[low[1] : high[1], low[0] : high[0]]
    before, after = low - corner, corner + side - high
    if window.size == 0:
        return np.full((out, out, 3), fill.astype(np.uint8))
    if before.any() or after.any():
        colour = [int(channel) for channel in fill]
        window = cv2.copyMakeBorder(window, before[1], after[1], before[0], after[0], cv2.BORDER_CONSTANT, value=colour)
    return window if side == out else cv2.resize(window, (out, out))


def subwindows(
    frames: Sequence[np.ndarray], corners: np.ndarray, sides: np.ndarray, out: int, fill: np.ndarray
) -> Tensor:
    """Return one window of each of B frames: (B, 3, out, out) uint8, in host memory.

    Args:
        frames: B frames as in `subwindow`, possibly of different sizes.
        corners: (B, 2) int64.
        sides: (B,) int64.
        out: pixels a side of the result.
        fill: (B, 3) colours.
    """
    crops = np.empty((len(frames), out, out, 3), np.uint8)
    for i, frame in enumerate(frames):
        crops[i] = subwindow(frame, corners[i], int(sides[i]), out, fill[i])
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def mean_colour(frame: np.ndarray) -> np.ndarray:
    """Return (3,) float64 mean of a (H, W, 3) uint8 frame: the padding colour of its video."""
    return np.array(cv2.mean(frame)[:3])
