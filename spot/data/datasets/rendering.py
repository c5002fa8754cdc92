"""Procedural tracking videos: a textured target moves, turns, deforms, meets look-alikes; its box is exact.

Coordinates are continuous image pixels: pixel (row i, column j) covers [j, j + 1) x [i, i + 1), so a box is
its edges, 0-based. Each layer of a frame is one remap of its sprite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from spot.data.datasets.motion import Layer, displace, excursion, moving, smooth_path, wave
from spot.data.datasets.sprites import SPAN, Look, look_alike, paint_background, random_look

ABSENT_FRACTION = 0.05  # a target with a smaller visible fraction counts as absent


class Rendered(NamedTuple):
    """A video with its ground truth.

    Attributes:
        images: (n, height, width, 3) uint8 RGB.
        boxes: (n, 4) float64 xywh, bound of the whole target (hidden parts too) cut at the image; zeros where
            absent.
        visible_fraction: (n,) float64 in [0, 1], the part of the target's area that can be seen; 0 where absent.
    """

    images: np.ndarray
    boxes: np.ndarray
    visible_fraction: np.ndarray


def render_video(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> Rendered:
    """Render one video; everything in it follows from `rng`.

    Args:
        rng: source of all draws.
        frames: number of frames n.
        size: width and height in pixels.
    """
    width, height = size
    target = _target(rng, frames, size)
    behind, front = _distractors(rng, target, size)
    background = _background(rng, target.look, frames, size)
    tables, noise, blur = _camera(rng, frames, size)

    fractions = np.empty(frames)
    images = np.empty((frames, height, width, 3), np.uint8)
    offsets = rng.integers(0, 32, (frames, 2))
    for t in range(frames):
        canvas = background(t)
        for layer in behind:
            draw(canvas, layer, t)
        seen = np.zeros((height, width), np.float32)
        draw(canvas, target, t, seen)
        for layer in front:
            draw(canvas, layer, t, hidden=seen)
        fractions[t] = seen.sum() / _area(target.outlines[t])
        i, j = offsets[t]
        exposed = cv2.LUT(cv2.GaussianBlur(canvas, (0, 0), blur).clip(0, 255).astype(np.uint8), tables[t][None])
        images[t] = cv2.add(exposed, noise[i : i + height, j : j + width], dtype=cv2.CV_8U)

    boxes = bounds(target.outlines, size)
    fractions[(fractions < ABSENT_FRACTION) | (boxes[:, 2:] < 1).any(axis=1)] = 0
    boxes[fractions == 0] = 0
    return Rendered(images, boxes, np.minimum(fractions, 1))


def _target(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> Layer:
    """Return the tracked object; it starts inside the image and in one video of five leaves it for a while."""
    base = max(9.0, rng.uniform(12, 30) * min(size) / 240)
    center = smooth_path(rng, frames, size, np.array(size) / 2, 1.5 * base, spread=0.22)
    if rng.random() < 0.2:
        center = center + excursion(rng, center, size, reach=1.8 * base)
    return moving(rng, random_look(rng), center, base)


def _distractors(rng: np.random.Generator, target: Layer, size: tuple[int, int]) -> tuple[list[Layer], list[Layer]]:
    """Look-alikes and an occluder, sorted into those drawn behind the target and those in front of it."""
    frames = len(target.center)
    base = float(np.sqrt(np.abs(np.linalg.det(target.to_image))).mean())
    behind: list[Layer] = []
    front: list[Layer] = []
    for _ in range(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15])):
        scale = base * rng.uniform(0.8, 1.25)
        path = smooth_path(rng, frames, size, target.center.mean(axis=0), scale, spread=0.32)
        near = np.hypot(*(path[0] - target.center[0])) < 3 * base
        in_front = rng.random() < 0.2 and not near
        (front if in_front else behind).append(moving(rng, look_alike(target.look, rng), path, scale))
    if rng.random() < 0.5:
        moment = round(rng.uniform(0.35, 0.8) * (frames - 1))
        heading = rng.uniform(0, 2 * np.pi)
        speed = max(rng.uniform(2, 5) * base / 20, 6 * base / max(frames, 1))
        drift = speed * np.array([np.cos(heading), np.sin(heading)])
        path = target.center[moment] + (np.arange(frames) - moment)[:, None] * drift
        path = path + rng.uniform(-0.7, 0.7) * base * np.array([-drift[1], drift[0]]) / speed
        if np.hypot(*(path[0] - target.center[0])) > 3.2 * base:
            front.append(moving(rng, random_look(rng), path, base * rng.uniform(0.8, 1.3)))
    return behind, front


def _background(
    rng: np.random.Generator, look: Look, frames: int, size: tuple[int, int]
) -> Callable[[int], np.ndarray]:
    """Return a larger picture with clutter, seen by a camera that pans, turns, zooms: t -> (h, w, 3) float32."""
    width, height = size
    picture = paint_background(rng, (2 * height, 2 * width))
    unit = min(size) / 240
    for _ in range(rng.integers(5, 15)):
        clutter = look_alike(look, rng) if rng.random() < 0.15 else random_look(rng)
        center = rng.uniform(0, 2, 2) * size
        still = moving(rng, clutter, center[None], max(5.0, rng.uniform(7, 30) * unit))
        draw(picture, still, 0)
    shift = np.stack([wave(rng, frames, rng.uniform(0.05, 0.35) * s, 50, 140) for s in size], axis=1)
    angle = wave(rng, frames, rng.uniform(0, 0.12), 50, 140)
    zoom = np.exp(wave(rng, frames, rng.uniform(0, 0.12), 50, 140))

    def view(t: int) -> np.ndarray:
        turn = zoom[t] * np.array([[np.cos(angle[t]), -np.sin(angle[t])], [np.sin(angle[t]), np.cos(angle[t])]])
        offset = np.array(size) + shift[t] - turn @ (np.array(size) / 2)
        return cv2.warpAffine(
            picture,
            np.column_stack([turn, offset]),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )

    return view


def _camera(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return what the camera does to light: (frames, 256, 3) uint8 tables, a noise field to cut from, a blur."""
    width, height = size
    gain = np.exp(wave(rng, frames, rng.choice([0.08, 0.45], p=[0.6, 0.4]), 25, 90))
    tint = np.stack([1 + wave(rng, frames, 0.06, 40, 120) for _ in range(3)], axis=1)
    gamma = np.exp(rng.uniform(-0.25, 0.25))
    levels = (np.arange(256) / 255) ** gamma * 255
    tables = np.clip(levels[None, :, None] * (gain[:, None] * tint)[:, None, :], 0, 255).astype(np.uint8)
    noise = rng.normal(0, rng.uniform(1, 7), (height + 32, width + 32, 3)).round().astype(np.int16)
    return tables, noise, float(rng.uniform(0.3, 1.0))


def draw(
    canvas: np.ndarray, layer: Layer, t: int, seen: np.ndarray | None = None, hidden: np.ndarray | None = None
) -> None:
    """Blend frame `t` of a layer into `canvas` (h, w, 3) float32, in place.

    Its opacity is written to `seen` (h, w) and takes away from `hidden` (h, w), where given.
    """
    height, width = canvas.shape[:2]
    low = np.floor(layer.outlines[t].min(axis=0) - 1).astype(int).clip(0, (width, height))
    high = np.ceil(layer.outlines[t].max(axis=0) + 1).astype(int).clip(0, (width, height))
    if (high <= low).any():
        return
    pixels = np.stack(np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1])), axis=-1) + 0.5
    local = (pixels - layer.center[t]) @ np.linalg.inv(layer.to_image[t]).T
    source = local + displace(local, layer.bend[t], layer.bend_phase)
    source = ((source / SPAN + 1) * (len(layer.picture) / 2) - 0.5).astype(np.float32)
    patch = cv2.remap(layer.picture, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    opacity = patch[..., 3]
    canvas[window] += opacity[..., None] * (patch[..., :3] * np.float32(layer.gain[t]) - canvas[window])
    if seen is not None:
        seen[window] = opacity
    if hidden is not None:
        hidden[window] *= 1 - opacity


def _area(polygon: np.ndarray) -> float:
    """Return the area of a polygon (points, 2)."""
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def bounds(outlines: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (n, 4) xywh of what lies inside the image of outlines (n, points, 2); no area where nothing does."""
    width, height = size
    left, right = _extent(outlines[..., 0], outlines[..., 1], height)
    top, bottom = _extent(outlines[..., 1], outlines[..., 0], width)
    x, y = left.clip(0, width), top.clip(0, height)
    return np.stack([x, y, right.clip(0, width) - x, bottom.clip(0, height) - y], axis=1)


def _extent(along: np.ndarray, across: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest `along`, (n,) each, of polygons (n, points) in the strip 0 <= `across` <= `limit`.

    Every edge is cut at the strip's two borders; clipping the bound of the whole polygon would be too wide.
    """
    step, rise = (np.roll(c, -1, axis=1) - c for c in (along, across))
    rise = np.where(rise == 0, 1e-9, rise)
    start, end = np.sort([-across / rise, (limit - across) / rise], axis=0).clip(0, 1)
    inside = ((start < end) | (across >= 0) & (across <= limit))[..., None]
    ends = along[..., None] + step[..., None] * np.stack([start, end], axis=-1)
    low = np.where(inside, ends, np.inf).min(axis=(1, 2))
    high = np.where(inside, ends, -np.inf).max(axis=(1, 2))
    return np.where(low > high, 0, low), np.where(low > high, 0, high)
