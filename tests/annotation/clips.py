"""Tiny videos of a moving square, as folders of images: what the tests of labelling and of dense boxes work on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 160, 120


def true_box(frame: int, offset: int = 0) -> np.ndarray:
    """(4,) xywh of the square in a frame."""
    return np.array([20 + 3 * frame + offset, 30 + frame, 24, 20], float)


def image(frame: int, offset: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) BGR: a textured square on a textured ground."""
    rng = np.random.default_rng(offset)
    ground = cv2.resize(rng.integers(60, 120, (12, 16, 3), np.uint8), (WIDTH, HEIGHT))
    square = cv2.resize(rng.integers(120, 255, (4, 4, 3), np.uint8), (24, 20), interpolation=cv2.INTER_NEAREST)
    x, y = true_box(frame, offset)[:2].astype(int)
    ground[y : y + 20, x : x + 24] = square
    return ground


def write_clips(root: Path, frames: int = 24, names: tuple[str, ...] = ("first", "second")) -> Path:
    """A folder of images for each video; the n-th square starts 5n pixels further right."""
    for number, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(frames):
            cv2.imwrite(str(folder / f"{i:04d}.jpg"), image(i, 5 * number), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return root
