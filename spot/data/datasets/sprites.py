"""Appearance of the synthetic videos: textured cut-outs of varied outline, and textured backgrounds.

A sprite lives in object coordinates, where its outline has a radius of about 1; its picture covers the
square from -SPAN to SPAN. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

SPAN = 1.7
PATTERNS = ("stripes", "checks", "spots", "rings", "marble", "rays")
OUTLINE_POINTS = 256


@dataclass(frozen=True, eq=False)
class Look:
    """The appearance of an object.

    Attributes:
        pattern: one of PATTERNS.
        palette: (3, 3) RGB in [0, 1]: two colours of the pattern, one of the patch painted over it.
        frequency: periods of the pattern over the object's radius.
        angle: of the pattern, radians.
        patch: centre x, y and radius of the patch, object units.
        harmonics: (k, 2) amplitude and phase of the outline's waves on its basic form, of order 2, 3, ...
        squareness: exponent of the superellipse under the outline; 2 is a circle, 8 nearly a square.
        seed: of the fine-grained noise.
    """

    pattern: str
    palette: np.ndarray
    frequency: float
    angle: float
    patch: np.ndarray
    harmonics: np.ndarray
    squareness: float
    seed: int


def random_look(rng: np.random.Generator) -> Look:
    """Draw a new object."""
    orders = np.arange(2, 6)
    return Look(
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        palette=random_palette(rng),
        frequency=rng.uniform(0.8, 1.8),
        angle=rng.uniform(0, np.pi),
        patch=np.array([*rng.uniform(-0.5, 0.5, 2), rng.uniform(0.25, 0.5)]),
        harmonics=np.stack([rng.uniform(0, 0.32, 4) / (orders - 1), rng.uniform(0, 2 * np.pi, 4)], axis=1),
        squareness=rng.choice([2.0, 2.0, 3.0, 8.0]),
        seed=int(rng.integers(2**31)),
    )


def look_alike(look: Look, rng: np.random.Generator) -> Look:
    """Return a distractor: similar outline and texture, but other colours or another pattern, so that it can be told apart."""
    twin = replace(
        look,
        angle=look.angle + rng.uniform(-0.5, 0.5),
        patch=look.patch + rng.uniform(-0.3, 0.3, 3) * [1, 1, 0.3],
        harmonics=look.harmonics * rng.uniform(0.6, 1.4, look.harmonics.shape),
        seed=int(rng.integers(2**31)),
    )
    if rng.random() < 0.5:
        return replace(twin, palette=shift_hue(look.palette, rng.choice([-1, 1]) * rng.uniform(0.12, 0.35)))
    others = [p for p in PATTERNS if p != look.pattern]
    return replace(
        twin, pattern=others[rng.integers(len(others))], palette=shift_hue(look.palette, rng.uniform(-0.08, 0.08))
    )


def random_palette(rng: np.random.Generator, vividness: float = 1.0) -> np.ndarray:
    """Return (3, 3) RGB in [0, 1]: a dark, a light and an accent colour of related hues."""
    hue = rng.random() + rng.normal(0, [0.05, 0.12, 0.25])
    saturation = vividness * rng.uniform([0.2, 0.2, 0.4], [0.9, 0.9, 1.0])
    value = rng.uniform([0.15, 0.55, 0.4], [0.5, 0.95, 1.0])
    return _hsv_to_rgb(np.stack([hue % 1, saturation, value], axis=1))


def shift_hue(palette: np.ndarray, turn: float) -> np.ndarray:
    """Rotate the hue of (3, 3) RGB colours; `turn` in full circles."""
    hsv = cv2.cvtColor(palette[None].astype(np.float32), cv2.COLOR_RGB2HSV)[0]
    hsv[:, 0] = (hsv[:, 0] / 360 + turn) % 1
    return _hsv_to_rgb(hsv)


def _hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    degrees = (hsv * [360, 1, 1]).astype(np.float32)
    return cv2.cvtColor(degrees[None], cv2.COLOR_HSV2RGB)[0].astype(np.float64)


def radius(look: Look, theta: np.ndarray) -> np.ndarray:
    """Return outline radius in the direction `theta`, object units, same shape; between 0.3 and SPAN."""
    superellipse = (np.abs(np.cos(theta)) ** look.squareness + np.abs(np.sin(theta)) ** look.squareness) ** (
        -1 / look.squareness
    )
    waves = sum(a * np.cos(k * theta + p) for k, (a, p) in enumerate(look.harmonics, start=2))
    return np.clip(superellipse * (1 + waves), 0.3, SPAN - 0.1)


def outline(look: Look) -> np.ndarray:
    """Return (OUTLINE_POINTS, 2) points x, y of the outline, object units."""
    theta = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    return radius(look, theta)[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)


def paint(look: Look, side: int) -> np.ndarray:
    """Return picture of an object: (side, side, 4) float32, RGB in [0, 255], opacity in [0, 1] (outline 0.5)."""
    axis = ((np.arange(side) + 0.5) / side * 2 - 1) * SPAN
    x, y = np.meshgrid(axis, axis)
    distance, theta = np.hypot(x, y), np.arctan2(y, x)
    inside = radius(look, theta) - distance
    rng = np.random.default_rng(look.seed)
    grain = fractal_noise(rng, (side, side), cells=6)

    wave = _pattern(look, x, y, distance, theta, grain)
    mix = (1 / (1 + np.exp(-6 * wave)))[..., None]
    colour = look.palette[0] * (1 - mix) + look.palette[1] * mix
    patch = np.hypot(x - look.patch[0], y - look.patch[1]) < look.patch[2]
    colour = np.where(patch[..., None], look.palette[2], colour)
    shading = 1 + 0.25 * grain - 0.35 * np.exp(-np.maximum(inside, 0) / 0.08)
    opacity = np.clip(inside * side / (2 * SPAN) + 0.5, 0, 1)
    return np.dstack([np.clip(colour * shading[..., None], 0, 1) * 255, opacity]).astype(np.float32)


def _pattern(
    look: Look, x: np.ndarray, y: np.ndarray, distance: np.ndarray, theta: np.ndarray, grain: np.ndarray
) -> np.ndarray:
    """Two-tone pattern in about [-1, 1] over the object's plane."""
    turn = 2 * np.pi * look.frequency
    u = turn * (np.cos(look.angle) * x + np.sin(look.angle) * y)
    v = turn * (np.cos(look.angle) * y - np.sin(look.angle) * x)
    match look.pattern:
        case "stripes":
            return np.sin(u)
        case "checks":
            return np.sin(u) * np.sin(v) * 2
        case "spots":
            return np.cos(u) + np.cos(v) - 0.6
        case "rings":
            return np.sin(turn * distance + look.angle)
        case "rays":
            return np.sin(round(3 * look.frequency) * theta + look.angle)
        case _:
            return 2 * grain + np.sin(0.5 * u + 3 * grain)


def fractal_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int = 4) -> np.ndarray:
    """Return (height, width) float64 smooth noise, mostly in [-1, 1]; `cells` over the longer side, then finer."""
    height, width = shape
    total: np.ndarray = np.zeros(shape)
    for octave in range(octaves):
        count = cells * 2**octave
        grid = rng.uniform(-1, 1, (max(2, count * height // max(shape)), max(2, count * width // max(shape))))
        total = total + cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 1.7**octave
    return total / 1.5


def paint_background(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return (height, width, 3) float32 RGB in [0, 255]: clouds of a few colours at several scales."""
    palette = random_palette(rng, vividness=0.6)
    coarse, middle, fine = (fractal_noise(rng, shape, cells) for cells in (4, 9, 24))
    first, second = (1 / (1 + np.exp(-s * n)) for s, n in ((5, coarse), (7, middle - 0.3)))
    colour = palette[0] + first[..., None] * (palette[1] - palette[0])
    colour = colour + 0.8 * second[..., None] * (palette[2] - colour)
    colour *= 1 + 0.35 * rng.uniform(0.4, 1) * fine[..., None]
    return (np.clip(colour, 0, 1) * 255).astype(np.float32)
