"""Extraction of frames against plain decoding: how much longer JPEG files take than decoding to RGB arrays alone.

    python scripts/bench/bench_extraction.py [VIDEO ...]

Without a video, clips are made of sharp noisy motion (1280 x 720, about 12 Mbit/s; 640 x 360, about 3 Mbit/s). One of
each size has a slice a frame, as most encoders write it; plain decoding, with PyAV's default, takes one thread there. The
other has two slices, which two threads decode. `threaded` is plain decoding with thread_type="AUTO". Every figure is the
best of three; all sides read the same file from the page cache.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from spot.data.extraction import extract


def make_clip(
    file: Path, width: int, height: int, frames: int = 150, bitrate: int = 12_000_000, slices: int = 1
) -> Path:
    """Return a clip of a moving texture with sensor noise, H.264."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (height + 200, width + 400, 3)).astype(np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bitrate
        stream.options = {"preset": "veryfast", "slices": str(slices)}
        stream.codec_context.thread_count = 1  # with PyAV's default, each thread writes a slice
        for i in range(frames):
            view = texture[i : i + height, 2 * i : 2 * i + width].astype(np.int16)
            noisy = np.clip(view + rng.integers(-4, 5, view.shape, np.int16), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy)))
        container.mux(stream.encode())
    return file


def decode(file: Path, thread_type: str = "SLICE") -> int:
    """PyAV's plain decoding to RGB arrays, with its default threads; gives the number of frames."""
    with av.open(str(file)) as container:
        container.streams.video[0].thread_type = thread_type
        return sum(frame.to_ndarray(format="rgb24").shape[2] == 3 for frame in container.decode(video=0))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        videos = [Path(name) for name in sys.argv[1:]] or [
            make_clip(folder / f"{name}-{slices}.mp4", *size, slices=slices)
            for name, size in {"720p": (1280, 720), "360p": (640, 360, 300, 3_000_000)}.items()
            for slices in (1, 2)
        ]
        for video in videos:
            frames = decode(video)
            plain = min(seconds(lambda v=video: decode(v)) for _ in range(3))
            threaded = min(seconds(lambda v=video: decode(v, "AUTO")) for _ in range(3))
            ours = min(seconds(lambda v=video, i=i: extract(v, folder / f"{v.stem}-{i}", v.stem)) for i in range(3))
            print(
                f"{video.name}: {frames} frames; plain decoding {frames / plain:.0f} frames/s, threaded "
                f"{frames / threaded:.0f}, extraction {frames / ours:.0f}: {ours / plain:.2f} and {ours / threaded:.2f} "
                "times as long"
            )


if __name__ == "__main__":
    main()
