"""Square crops around boxes, and their geometry (docs/method.md section 3); `spot.data.boxes` converts boxes.

A box is `[x, y, w, h]` in pixels, 0-based top-left corner. A crop's geometry is
`[center_x, center_y, resize_factor]`: the centre of the box that it was taken around, in full-frame pixels,
and crop pixels per full-frame pixel.

The square starts at a whole pixel, but boxes are placed by the exact centre at (out - 1) / 2. So a box is half a crop
pixel plus up to one full-frame pixel to the left of and above the target in the crop. This is kept because the
published weights were trained so.
"""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np

from spot.data.boxes import box_text, touch_image
from spot.data.images import Frame
from spot.runtime.errors import SpotError

_REMEDY = "correct or remove the box (python -m spot.check names file and row)"
_LARGEST_PADDED = 8192  # pixels a side; a wrong annotation could ask for gigabytes of mean colour


CropRule = Literal["context", "area"]


def crop_side(boxes: np.ndarray, factor: float, rule: CropRule = "context") -> np.ndarray:
    """Side of the square crop around each box, in whole full-frame pixels.

    Args:
        boxes: (..., 4) xywh.
        factor: area factor f; 2 for templates, 4 for search crops.
        rule: how an elongated target counts; for a square one both rules give `factor` times its side.
            `context`: `ceil(sqrt((w + c) * (h + c)))` with c = (factor - 1) * (w + h) / 2 (SiamFC, Ocean, TransT).
            `area`: `ceil(factor * sqrt(w * h))` (OSTrack).

    Returns:
        (...,) float64; NaN where that has no root.

    >>> crop_side(np.array([0, 0, 30, 10]), 2).item(), crop_side(np.array([0, 0, 30, 10]), 2, "area").item()
    (39.0, 35.0)
    """
    width, height = np.moveaxis(np.asarray(boxes, np.float64)[..., 2:], -1, 0)
    context = (factor - 1) * (width + height) / 2
    with np.errstate(invalid="ignore"):
        if rule == "area":
            return np.ceil(factor * np.sqrt(width * height))
        return np.ceil(np.sqrt((width + context) * (height + context)))


def crop(
    frame: Frame,
    box: np.ndarray,
    factor: float,
    out: int,
    target: np.ndarray | None = None,
    rule: CropRule = "context",
) -> tuple[np.ndarray, np.ndarray]:
    """Square crop around a box, mean colour outside the image, resized bilinearly.

    Args:
        frame: a frame from `read_frame`; a reduced frame gives the same geometry.
        box: (4,) xywh in full-frame pixels; the centre of the crop (possibly jittered).
        factor: area factor, see `crop_side`.
        out: side of the crop after resizing, pixels.
        target: (4,) the box that must overlap the image; None for `box`. Needed with a jittered box, which may leave
            the image although its target does not.
        rule: see `crop_side`.

    Returns:
        (out, out, 3) uint8 RGB, and (3,) float32 geometry.

    Raises:
        SpotError: the crop would be smaller than one pixel, or the target is completely outside the image.
    """
    x, y, w, h = np.asarray(box, np.float64).tolist()
    side = float(crop_side(np.array([x, y, w, h]), factor, rule))
    if not 1 <= side < math.inf:
        raise SpotError(f"{_place(frame)}box {box_text(box)}: the crop would be smaller than one pixel; {_REMEDY}")
    target = box if target is None else target
    if not touch_image(np.asarray(target, np.float64), frame.width, frame.height):
        size = f"{frame.width} x {frame.height}"
        raise SpotError(f"{_place(frame)}box {box_text(target)} lies outside the {size} image; {_REMEDY}")
    center_x, center_y = x + w / 2, y + h / 2
    left, top = (math.floor(center - (side + 1) / 2 + 0.5) for center in (center_x, center_y))
    cut = _pad_and_resize if frame.reduction == 1 and side <= _LARGEST_PADDED else _warp
    return cut(frame, left, top, int(side), out), np.array([center_x, center_y, out / side], np.float32)


def _pad_and_resize(frame: Frame, left: int, top: int, side: int, out: int) -> np.ndarray:
    """Pad only what the square shows, then resize: the published pixels."""
    right, bottom = left + side, top + side
    x0, x1 = np.clip((left, right), 0, frame.width).tolist()
    y0, y1 = np.clip((top, bottom), 0, frame.height).tolist()
    if x0 == x1 or y0 == y1:  # a square of a pixel or two can miss the image by rounding
        return np.full((out, out, 3), frame.mean.astype(np.uint8), np.uint8)
    square = frame.pixels[y0:y1, x0:x1]
    if (x1 - x0, y1 - y0) != (side, side):
        edges = (y0 - top, bottom - y1, x0 - left, right - x1)
        square = cv2.copyMakeBorder(square, *edges, cv2.BORDER_CONSTANT, value=_fill(frame))
    return cv2.resize(square, (out, out), interpolation=cv2.INTER_LINEAR)


def _warp(frame: Frame, left: int, top: int, side: int, out: int) -> np.ndarray:
    """Cut the same square from a reduced frame, where it may start between two pixels."""
    step = side / out / frame.reduction
    # pixel centres are half a pixel after their index, in the full frame, the reduced frame and the crop
    shift_x, shift_y = (corner / frame.reduction + step / 2 - 0.5 for corner in (left, top))
    return cv2.warpAffine(
        frame.pixels,
        np.array([[step, 0, shift_x], [0, step, shift_y]]),
        (out, out),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_fill(frame),
    )


def _fill(frame: Frame) -> tuple[int, ...]:
    """Return the mean colour, truncated as in the published crops."""
    return tuple(frame.mean.astype(np.uint8).tolist())


def _place(frame: Frame) -> str:
    return f"{frame.path}: " if frame.path else ""


def jitter_box(box: np.ndarray, rng: np.random.Generator, center_jitter: float, scale_jitter: float) -> np.ndarray:
    """Move and rescale a box at random before a crop is taken around it (docs/method.md section 3).

    Args:
        box: (4,) xywh.
        rng: source of the four draws. All are always made, so that settings do not change later draws.
        center_jitter: width of the uniform draw of the centre, in mean jittered sides, per axis; 0 for no shift.
        scale_jitter: standard deviation of the log of each side's factor; 0 keeps the size.

    Returns:
        (4,) float64 xywh.
    """
    x, y, w, h = np.asarray(box, np.float64)
    size = np.array([w, h]) * np.exp(rng.standard_normal(2) * scale_jitter)
    center = np.array([x + w / 2, y + h / 2]) + (rng.random(2) - 0.5) * size.mean() * center_jitter
    return np.concatenate([center - size / 2, size])
