"""Small video files for tests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

WIDTH, HEIGHT = 96, 64


def moving_square(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frame `index` of a clip: (height, width, 3) uint8 RGB; its mean brightness grows with the index."""
    frame = np.full((height, width, 3), 40 + 5 * index, np.uint8)
    frame[10:30, 4 + 2 * index : 24 + 2 * index] = (220, 30, 30)
    return frame


def write_clip(
    file: Path,
    frames: int = 12,
    codec: str = "libx264",
    times: list[int] | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip of `moving_square`; `times` are presentation times in hundredths of a second."""
    with av.open(str(file), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=100)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_square(i, *size))
            frame.pts = times[i] if times else 4 * i
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file
