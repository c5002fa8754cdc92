"""Videos with the boxes drawn in: PyAV where it is installed, OpenCV elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from spot.data.box_table import BoxTable
from spot.data.datasets.videos import manifest_of
from spot.data.images import read_frame
from spot.data.video import VideoSet
from spot.data.video_files import has_pyav
from spot.runtime.errors import SpotError
from spot.runtime.extras import how_to_install

COLOURS = [(255, 176, 0), (47, 181, 255), (255, 95, 162), (56, 211, 159), (177, 140, 255), (255, 120, 71)]  # RGB
WEAK = (255, 77, 77)
WEAK_BELOW = 0.5  # score under which a box is drawn dashed


class Writer(Protocol):
    """Takes frames one by one."""

    def write(self, frame: np.ndarray) -> None: ...
    def close(self) -> None: ...


def draw_box(
    frame: np.ndarray, box: np.ndarray, target: int = 1, score: float = 1.0, is_gt: bool = False, text: bool = True
) -> None:
    """Draw a box into a frame, in place.

    Args:
        frame: (H, W, 3) uint8 RGB.
        box: (4,) xywh; nothing is drawn for NaN.
        target: chooses the colour.
        score: written above the box; a weak box is dashed.
        is_gt: a human's box, drawn with a double line.
        text: write target and score.
    """
    if not np.isfinite(box).all():
        return
    left, top = np.round(box[:2]).astype(int)
    right, bottom = np.round(box[:2] + box[2:]).astype(int)
    colour = COLOURS[(target - 1) % len(COLOURS)]
    thick = max(1, round(min(frame.shape[:2]) / 300))
    if score < WEAK_BELOW and not is_gt:
        _dashed(frame, (left, top, right, bottom), WEAK, thick)
    else:
        cv2.rectangle(frame, (left, top), (right, bottom), colour, 2 * thick)
        if is_gt:
            cv2.rectangle(
                frame, (left - 3 * thick, top - 3 * thick), (right + 3 * thick, bottom + 3 * thick), colour, thick
            )
    if text:
        words = f"{target} human" if is_gt else f"{target} {score:.2f}"
        size = max(0.35, min(frame.shape[:2]) / 900)
        place = (max(left, 0), max(top - 4 * thick, round(16 * size) + 2))
        cv2.putText(frame, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3 * thick, cv2.LINE_AA)
        cv2.putText(frame, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def write_overlays(folder: Path, videos: VideoSet, dense: BoxTable) -> None:
    """Write `<video>.mp4` with the boxes for each video that has some; an unreadable frame shows the one before."""
    names = sorted({video for video, _ in dense.targets})
    for name in track(names, "overlay videos", console=Console(stderr=True), transient=True):
        frames, rows = videos[name].frames, dense.of_video(name)
        rate = frame_rate(manifest_of(videos, name).times) if videos.extracted else 25.0
        pixels = read_frame(frames.path(0)).pixels
        with video_writer(folder / f"{name}.mp4", (pixels.shape[1], pixels.shape[0]), rate) as writer:
            for index in range(len(frames)):
                with contextlib.suppress(SpotError):
                    pixels = read_frame(frames.path(index)).pixels
                picture = pixels.copy()
                own = rows.take(rows.frame == index)
                for box, target, score, is_gt in zip(
                    own.box, own.target.tolist(), own.score.tolist(), own.is_gt.tolist(), strict=True
                ):
                    draw_box(picture, box, target, score, is_gt)
                writer.write(picture)


@contextlib.contextmanager
def video_writer(file: str | Path, size: tuple[int, int], rate: float = 25.0) -> Iterator[Writer]:
    """Write an MP4 file; it appears when all is written.

    Args:
        file: its folder is made.
        size: width and height of the frames; an odd one loses a row or column.
        rate: frames a second.

    Raises:
        SpotError: the file cannot be written.
    """
    file = Path(file)
    aside = file.with_name(f".{uuid4().hex[:8]}.mp4")
    even = (size[0] // 2 * 2, size[1] // 2 * 2)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        writer: Writer = _PyAV(aside, even, rate) if has_pyav() else _OpenCV(aside, even, rate)
        try:
            yield writer
        finally:
            writer.close()
        aside.replace(file)
    except OSError as error:
        raise SpotError(f"{file}: cannot be written ({error.strerror or error}); choose another output=") from None
    finally:
        aside.unlink(missing_ok=True)


class _PyAV:
    def __init__(self, file: Path, size: tuple[int, int], rate: float) -> None:
        import av

        self._av: Any = av
        self._size = size
        self._container: Any = av.open(str(file), "w")
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "21", "preset": "veryfast"}

    def write(self, frame: np.ndarray) -> None:
        width, height = self._size
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), "rgb24")
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


class _OpenCV:
    def __init__(self, file: Path, size: tuple[int, int], rate: float) -> None:
        self._size = size
        self._writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not self._writer.isOpened():
            raise SpotError(f"{file.parent}: OpenCV cannot write a video there; {how_to_install('video')}")

    def write(self, frame: np.ndarray) -> None:
        width, height = self._size
        self._writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()


def frame_rate(times: Iterable[float | None] | None) -> float:
    """Return frames a second from presentation times in seconds; 25 where they are unknown."""
    known = np.array([time for time in times or () if time is not None], np.float64)
    gap = float(np.median(np.diff(known))) if len(known) > 1 else 0.0
    return min(max(1 / gap, 1.0), 120.0) if gap > 0 else 25.0


def _dashed(frame: np.ndarray, corners: tuple[int, int, int, int], colour: tuple[int, int, int], thick: int) -> None:
    left, top, right, bottom = corners
    edges = [
        ((left, top), (right, top)),
        ((right, top), (right, bottom)),
        ((right, bottom), (left, bottom)),
        ((left, bottom), (left, top)),
    ]
    for start, end in edges:
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        pieces = max(1, int(length // (8 * thick)))
        points = np.linspace(start, end, 2 * pieces).round().astype(int)
        for a, b in zip(points[::2], points[1::2], strict=True):
            cv2.line(frame, tuple(map(int, a)), tuple(map(int, b)), colour, 2 * thick)
