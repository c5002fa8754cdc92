"""Sizes of frames, from the headers of their files where possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import simplejpeg

from spot.data.images import read_bytes, read_frame
from spot.data.video import Video
from spot.runtime.errors import SpotError


def frame_size(path: str) -> tuple[int, int]:
    """Read width and height in pixels, from the header alone where the frame is a JPEG.

    Raises:
        SpotError: the frame is missing or no image.
    """
    data = read_bytes(path)
    if data.startswith(b"\xff\xd8"):
        try:
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            return width, height
        except ValueError:
            pass
    frame = read_frame(path)
    return frame.width, frame.height


def frame_sizes(videos: Sequence[Video]) -> np.ndarray | None:
    """Read (V, 2) width and height of the videos; None where frames cannot be read."""
    sizes = []
    for video in videos:
        try:
            sizes.append(frame_size(video.frames.path(0)))
        except (SpotError, IndexError):
            return None
    return np.array(sizes, np.float64)
