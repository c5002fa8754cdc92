"""Everything that happens to pixels on the device, batched, with draws that come from outside.

The loader draws (see `spot.data.pairs`), so that every draw follows from (seed, epoch, index). Warp uint8 crops where
possible and turn them to floats afterwards: a nearest-neighbour warp moves pixels without mixing them, so the order
does not matter to the result, and a byte moves several times faster than a float.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from spot.data.crops import clip_boxes

LUMA = (0.2989, 0.587, 0.114)
ELLIPSE_POINTS = 360
SLICE = 4


def photometric(images: Tensor, brightness: Tensor, grey: Tensor | None = None) -> Tensor:
    """Brightness, then grey-scale, before normalisation.

    The published code weighs the channels after normalisation and never sums them (METHOD.md section 9).

    Args:
        images: (B, 3, H, W) uint8 RGB.
        brightness: (B,) factors.
        grey: (B,) bool; None keeps every colour.

    Returns:
        (B, 3, H, W) float32 RGB in [0, 1].
    """
    return _by_slices(_photometric, images, brightness, *(() if grey is None else (grey,)))


def _photometric(images: Tensor, brightness: Tensor, grey: Tensor | None = None) -> Tensor:
    scale = (brightness.to(torch.float32) / 255)[:, None, None, None]
    pixels = images.float().mul_(scale).clamp_(max=1)  # a product of bytes and floats would be ten times slower
    if grey is None:
        return pixels
    red, green, blue = pixels.split(1, dim=1)
    luma = (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    weight = grey.to(torch.float32)[:, None, None, None]
    for colour in (red, green, blue):
        colour.lerp_(luma, weight)
    return pixels


def rotate_flip(images: Tensor, boxes: Tensor, angle: Tensor, flip: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Flip left and right, then rotate, images and boxes alike.

    As published, the centre of rotation is index (W/2, H/2), half a pixel past the middle, for pixels and boxes alike
    (a half turn leaves one row and one column of fill), and a pixel takes its nearest neighbour's value.

    Args:
        images: (B, C, H, W) of any type; uint8 is fastest.
        boxes: (B, 4) float xywh in crop pixels.
        angle: (B,) degrees, anticlockwise as seen on the screen.
        flip: (B,) bool.
        fill: (B, C) colour in the images' unit for what comes from outside, the crop's mean colour.

    Returns:
        Images like `images`, and (B, 4) float32 boxes: the axis-aligned bound of 360 points of the rotated ellipse
        inscribed in the old box, clipped to the crop.
    """
    height, width = images.shape[-2:]
    radians = torch.deg2rad(angle.to(torch.float32))
    cosine, sine = radians.cos(), radians.sin()
    warped = _by_slices(_warp, images, cosine, sine, flip, fill)
    return warped, clip_boxes(_rotate_boxes(boxes, cosine, sine, flip, width, height), width, height)


def _by_slices(function: Callable[..., Tensor], *batch: Tensor) -> Tensor:
    """A function of the whole batch; on a CPU of a few images at a time, which stay in its caches."""
    if batch[0].device.type != "cpu":
        return function(*batch)
    return torch.cat([function(*some) for some in zip(*(x.split(SLICE) for x in batch), strict=True)])


def _warp(images: Tensor, cosine: Tensor, sine: Tensor, flip: Tensor, fill: Tensor) -> Tensor:
    """Fetch each output pixel from where it was."""
    batch, channels, height, width = images.shape
    # one pixel of fill all round, onto which everything farther out is moved
    padded = images.new_empty(batch, channels, height + 2, width + 2)
    padded[:] = fill[:, :, None, None]
    padded[:, :, 1:-1, 1:-1] = images

    x = torch.arange(width, device=images.device) - width / 2
    y = torch.arange(height, device=images.device) - height / 2
    cosine, sine, flip = cosine[:, None], sine[:, None], flip[:, None]
    direction = 1 - 2 * flip.to(torch.float32)
    start = torch.where(flip, width / 2 - 1, width / 2)
    column = (direction * cosine * x + start)[:, None, :] - (direction * sine * y)[:, :, None]
    row = (sine * x)[:, None, :] + (cosine * y + height / 2)[:, :, None]
    column.round_().clamp_(-1, width)
    row.round_().clamp_(-1, height)
    index = row.mul_(width + 2).add_(column).add_(width + 3).long()
    return padded.flatten(2).gather(2, index.view(batch, 1, -1).expand(-1, channels, -1)).view_as(images)


def _rotate_boxes(boxes: Tensor, cosine: Tensor, sine: Tensor, flip: Tensor, width: int, height: int) -> Tensor:
    """Bound of the rotated ellipse; its points come in opposite pairs, so the largest offset bounds both sides."""
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
