"""Augmentation on the device, batched: brightness, grey-scale, flip and rotation (docs/method.md section 3).

The loader draws the parameters (see `spot.data.pairs`), so that every draw follows from (seed, epoch, index); kornia
applies them.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import adjust_brightness_accumulative
from kornia.geometry.transform import get_rotation_matrix2d, warp_affine
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)
ELLIPSE_POINTS = 360


def photometric(images: Tensor, brightness: Tensor, grey: Tensor | None = None) -> Tensor:
    """Change brightness, then turn some images grey, before normalisation.

    The published code weighs the channels after normalisation and never sums them (docs/differences.md).

    Args:
        images: (B, 3, H, W) uint8 RGB.
        brightness: (B,) factors.
        grey: (B,) bool; None keeps every colour.

    Returns:
        (B, 3, H, W) float32 RGB in [0, 1].
    """
    pixels = adjust_brightness_accumulative(images.float() / 255, brightness.float())
    if grey is None:
        return pixels
    weights = torch.stack([pixels.new_full((), weight) for weight in LUMA])  # a host tensor would have to be copied
    return torch.where(grey[:, None, None, None], rgb_to_grayscale(pixels, weights), pixels)


def rotate_flip(images: Tensor, boxes: Tensor, angle: Tensor, flip: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Flip left and right, then rotate, images and boxes alike.

    As published, the centre of rotation is index (W/2, H/2), half a pixel past the middle, for pixels and boxes alike
    (a half turn leaves one row and one column of fill), and a pixel takes its nearest neighbour's value.

    Args:
        images: (B, C, H, W) of any type.
        boxes: (B, 4) float xywh in crop pixels.
        angle: (B,) degrees, anticlockwise as seen on the screen.
        flip: (B,) bool.
        fill: (B, C) colour in the images' unit for what comes from outside, the frame's mean colour.

    Returns:
        Images like `images`, and (B, 4) float32 boxes: the axis-aligned bound of 360 points of the rotated ellipse
        inscribed in the old box, not clipped.
    """
    device = images.device.type
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        # kornia multiplies matrices: bfloat16 would move pixels
        return _rotate_flip(images, boxes, angle.float(), flip, fill)


def _rotate_flip(images: Tensor, boxes: Tensor, angle: Tensor, flip: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
    height, width = images.shape[-2:]
    center = torch.stack([angle.new_full((), width / 2), angle.new_full((), height / 2)]).expand(len(angle), 2)
    rotation = get_rotation_matrix2d(center, angle, torch.ones_like(center))
    mirrored = torch.where(flip, -1.0, 1.0).to(angle)  # x becomes width - 1 - x
    shift = torch.where(flip, width - 1.0, 0.0).to(angle)
    moved = rotation[:, :, 2] + rotation[:, :, 0] * shift[:, None]
    matrix = torch.stack([rotation[:, :, 0] * mirrored[:, None], rotation[:, :, 1], moved], dim=2)
    # kornia fills a whole batch with one colour; each image has its own, so it is subtracted and added again
    colour = fill.to(images.dtype).float()[:, :, None, None]
    warped = warp_affine(images.float() - colour, matrix, (height, width), mode="nearest", align_corners=True) + colour
    warped = warped if images.is_floating_point() else warped.round()
    return warped.to(images.dtype), _rotate_boxes(boxes, torch.deg2rad(angle), flip, width, height)


def _rotate_boxes(boxes: Tensor, radians: Tensor, flip: Tensor, width: int, height: int) -> Tensor:
    """Bound the rotated ellipse; its points come in opposite pairs, so the largest offset bounds both sides."""
    cosine, sine = radians.cos(), radians.sin()
    left, top, w, h = boxes.to(torch.float32).unbind(-1)
    center_x, center_y = left + w / 2, top + h / 2
    x = torch.where(flip, width - 1 - center_x, center_x) - width / 2
    y = center_y - height / 2
    turn = torch.arange(ELLIPSE_POINTS, device=boxes.device) * (2 * math.pi / ELLIPSE_POINTS)
    along_x, along_y = w[:, None] / 2 * turn.cos(), h[:, None] / 2 * turn.sin()
    half_w = (cosine[:, None] * along_x + sine[:, None] * along_y).amax(-1)
    half_h = (cosine[:, None] * along_y - sine[:, None] * along_x).amax(-1)
    new_x = cosine * x + sine * y + width / 2
    new_y = cosine * y - sine * x + height / 2
    return torch.stack([new_x - half_w, new_y - half_h, 2 * half_w, 2 * half_h], dim=-1)
