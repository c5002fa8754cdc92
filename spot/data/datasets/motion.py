"""Motion of the synthetic videos, for all frames at once: smooth paths of objects that turn, scale and deform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spot.data.datasets.sprites import SPAN, Look, outline, paint


@dataclass(frozen=True, eq=False)
class Layer:
    """One moving object over n frames.

    Attributes:
        look: its appearance.
        center: (n, 2) x, y in pixels.
        to_image: (n, 2, 2) from object units to pixels: scale, aspect and rotation.
        bend: (n, 2) strength of the deformation in x and y, object units.
        bend_phase: (2,) of the deformation.
        gain: (n,) brightness of the object.
        picture: (side, side, 4) float32 as `paint` makes it.
        outlines: (n, points, 2) x, y of the outline in pixels.
    """

    look: Look
    center: np.ndarray
    to_image: np.ndarray
    bend: np.ndarray
    bend_phase: np.ndarray
    gain: np.ndarray
    picture: np.ndarray
    outlines: np.ndarray


def moving(rng: np.random.Generator, look: Look, center: np.ndarray, base: float) -> Layer:
    """Give an object scale, aspect, angle, bend and brightness; `base` is its mean radius in pixels."""
    frames = len(center)
    scale = base * np.exp(wave(rng, frames, rng.uniform(0.05, 0.35), 40, 120))
    aspect = np.exp(rng.uniform(-0.3, 0.3) + wave(rng, frames, rng.uniform(0, 0.2), 25, 80))
    angle = rng.uniform(-0.4, 0.4) + wave(rng, frames, rng.uniform(0.1, 0.9), 40, 120)
    if rng.random() < 0.2:
        angle = angle + rng.choice([-1, 1]) * rng.uniform(0.03, 0.08) * np.arange(frames)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    stretch = np.stack([scale * aspect, scale / aspect], axis=1)
    bend = np.stack([wave(rng, frames, rng.uniform(0.05, 0.22), 15, 50) for _ in range(2)], axis=1)
    gain = 1 + wave(rng, frames, rng.uniform(0.05, 0.25), 20, 90)
    to_image, phase = rotation * stretch[:, None, :], rng.uniform(0, 2 * np.pi, 2)
    picture = paint(look, round(2 * SPAN * base))
    outlines = _outlines(look, center, to_image, bend, phase)
    return Layer(look, center, to_image, bend, phase, gain, picture, outlines)


def wave(rng: np.random.Generator, frames: int, amplitude: float, shortest: float, longest: float) -> np.ndarray:
    """Return (frames,) smooth oscillation within +-amplitude; periods in frames."""
    period, phase = rng.uniform(shortest, longest, (2, 1)), rng.uniform(0, 2 * np.pi, (2, 1))
    waves = np.sin(2 * np.pi * np.arange(frames) / period + phase)
    return amplitude * (0.7 * waves[0] + 0.3 * waves[1])


def smooth_path(
    rng: np.random.Generator,
    frames: int,
    size: tuple[int, int],
    around: np.ndarray,
    margin: float,
    spread: float,
) -> np.ndarray:
    """Return (frames, 2) a smooth path, `margin` inside the image; its middle is within `spread` sides of `around`."""
    sides = np.array(size, np.float64)
    way = np.stack([wave(rng, frames, rng.uniform(0.12, 0.3) * s, 45, 120) for s in sides], axis=1)
    shake = np.stack([wave(rng, frames, rng.uniform(0, 0.012) * s, 8, 20) for s in sides], axis=1)
    middle = around + rng.uniform(-spread, spread, 2) * sides
    return np.clip(middle + way, margin, sides - margin) + shake


def excursion(rng: np.random.Generator, center: np.ndarray, size: tuple[int, int], reach: float) -> np.ndarray:
    """Return (n, 2) displacement that takes the target over the nearest border by `reach` pixels and back."""
    frames, sides = len(center), np.array(size, np.float64)
    half = min(14.0, frames / 3)
    moment = rng.uniform(half + 1, max(frames - 5, half + 2))
    here = center[min(round(moment), frames - 1)]
    gaps = np.concatenate([here, sides - here])
    border = int(gaps.argmin())
    distance = gaps[border] + reach
    phase = np.clip((np.arange(frames) - moment) / half, -1, 1)
    push = np.zeros((frames, 2))
    push[:, border % 2] = (-1 if border < 2 else 1) * distance * (0.5 + 0.5 * np.cos(np.pi * phase))
    return push


def displace(points: np.ndarray, strength: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Return the displacement (..., 2) of object points (..., 2) from the deformed object back to its picture."""
    waves = np.sin(1.8 * points[..., ::-1] + phase.astype(points.dtype))
    return strength * waves


def _outlines(
    look: Look, center: np.ndarray, to_image: np.ndarray, strength: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    """Return (n, points, 2) outlines in pixels.

    The bend leads from the image to the picture; fixed-point steps invert it (each shrinks the error by 0.4).
    """
    undeformed = outline(look)[None]
    points = undeformed
    for _ in range(12):
        points = undeformed - displace(points, strength[:, None], phase)
    return points @ to_image.transpose(0, 2, 1) + center[:, None]
