"""Decode video files frame by frame, with presentation times.

PyAV is used where it is installed (extra `video`), else OpenCV. Both read the file once from its start to its end and
never seek: frame numbers are positions in that sequence. A frame number computed from time and frame rate is wrong for
a variable frame rate.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from spot.runtime.errors import SpotError

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
# Only plain containers and local files: a playlist that calls itself .mp4 must not open other files or addresses.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """One frame of a video file.

    Attributes:
        width, height: pixels, after the rotation that the file asks for.
        time: presentation time in seconds, None where the file has none.
        pixels: call it for the (height, width, 3) uint8 RGB array. The conversion may run in another thread.
    """

    width: int
    height: int
    time: float | None
    pixels: Callable[[], np.ndarray]


class BrokenTail(Exception):
    """A truncated file: raised by the iterators after the last frame that could be decoded."""


def has_pyav() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def decode_video(file: str | Path) -> Iterator[DecodedFrame]:
    """Decode all frames of a video file in presentation order.

    Raises:
        SpotError: the file is missing, is not a video, or has no frame.
        BrokenTail: after the last good frame of a damaged file; its text says what was found.
    """
    file = str(file)
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        raise SpotError(f"{file}: {error.strerror}; check the path") from None
    frames = _decode_with_pyav(file) if has_pyav() else _decode_with_opencv(file)
    count = 0
    try:
        for frame in frames:
            yield frame
            count += 1
    except BrokenTail:
        if count:
            raise
    if not count:
        raise SpotError(f"{file}: no frame can be decoded; remove the file or convert it again")


def _decode_with_pyav(file: str) -> Iterator[DecodedFrame]:
    import av
    from av.video.reformatter import VideoReformatter

    own = threading.local()  # a reformatter is not shared by threads, and making one for each frame takes long

    def convert(frame: Any, turns: int) -> np.ndarray:
        if not hasattr(own, "reformatter"):
            own.reformatter = VideoReformatter()
        pixels = own.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    try:
        container = av.open(file, options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError):
        raise SpotError(f"{file}: not a video that can be opened; remove the file or convert it again") from None
    with container:
        if not container.streams.video:
            raise SpotError(f"{file}: no video in this file; remove it or convert it again")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        count, first, last = 0, None, None
        try:
            for frame in container.decode(stream):
                first, last = frame.time if first is None else first, frame.time
                turns = round(frame.rotation / 90) % 4  # counter-clockwise, as np.rot90
                size = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
                yield DecodedFrame(*size, frame.time, partial(convert, frame, turns))
                count += 1
        except av.FFmpegError as error:
            raise BrokenTail(f"breaks off after {count} frames ({error.strerror})") from None
        if count < stream.frames:
            raise BrokenTail(f"breaks off after {count} of {stream.frames} frames")
        # Matroska does not count its frames, and a truncated file ends without an error.
        seconds = (container.duration or 0) / av.time_base
        if not stream.frames and first is not None and last is not None and last - first < 0.9 * seconds - 0.1:
            raise BrokenTail(f"breaks off after {last - first:.1f} of {seconds:.1f} seconds")


def _decode_with_opencv(file: str) -> Iterator[DecodedFrame]:
    capture = cv2.VideoCapture(file, cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise SpotError(f"{file}: not a video that can be opened; remove the file or convert it again")
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        count = 0
        while True:
            read, bgr = capture.read()
            if not read:
                break
            time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield DecodedFrame(bgr.shape[1], bgr.shape[0], time, partial(cv2.cvtColor, bgr, cv2.COLOR_BGR2RGB))
            count += 1
        if count < announced:
            raise BrokenTail(f"breaks off after {count} of {announced} frames")
    finally:
        capture.release()
