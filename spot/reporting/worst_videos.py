"""Frames with boxes drawn on them: strips of a video for the report, contact sheets for a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from spot.data.images import read_bytes, read_frame
from spot.data.video import Video
from spot.evaluation.measures import overlap
from spot.runtime.errors import SpotError

Colour = tuple[int, int, int]
GREEN: Colour = (40, 200, 60)
RED: Colour = (235, 50, 35)
WHITE: Colour = (255, 255, 255)
BOX_COLOURS: tuple[Colour, ...] = (RED, (0, 130, 230), (255, 160, 0), (190, 80, 200), (0, 190, 190), (250, 220, 0))
"""Of the predictions of several trackers."""
PAPER: Colour = (250, 250, 250)


def frame_size(path: str) -> tuple[int, int]:
    """Width and height in pixels, from the header alone where the frame is a JPEG.

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
    """(V, 2) width and height of the videos, or None where frames are not at hand."""
    sizes = []
    for video in videos:
        try:
            sizes.append(frame_size(video.frames.path(0)))
        except (SpotError, IndexError):
            return None
    return np.array(sizes, np.float64)


def draw_boxes(
    pixels: np.ndarray, scale: float, truth: np.ndarray, boxes: Mapping[Colour, np.ndarray], label: str
) -> np.ndarray:
    """A frame, resized, with boxes and a label in the corner.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        scale: factor of the resize.
        truth: (4,) box xywh in pixels of the frame, drawn on top in green; not drawn where it is NaN or empty.
        boxes: colour to predicted box (4,), the first on top.
        label: text, top left.

    Returns:
        (h * scale, w * scale, 3) uint8 RGB.
    """
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for colour, box in [*reversed(list(boxes.items())), (GREEN, truth)]:
        if np.isfinite(box).all() and (box[2:] > 0).all():
            start, end = np.rint(box[:2] * scale).astype(int), np.rint((box[:2] + box[2:]) * scale).astype(int)
            cv2.rectangle(picture, start.tolist(), end.tolist(), colour, 2, cv2.LINE_AA)
    _write(picture, label)
    return picture


def _write(picture: np.ndarray, text: str, size: float = 0.55) -> None:
    """White text on a dark band in the top left corner."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    band = picture[: height + below + 4, : width + 10]
    band //= 3
    cv2.putText(picture, text, (5, height + 3), cv2.FONT_HERSHEY_SIMPLEX, size, WHITE, 1, cv2.LINE_AA)


def chosen_frames(video: Video, count: int) -> np.ndarray:
    """Up to `count` frames spread evenly over those that show the target; all frames where none is marked visible."""
    seen = np.flatnonzero(video.visible)
    seen = seen if len(seen) else np.arange(len(video))
    return np.unique(seen[np.linspace(0, len(seen) - 1, min(count, len(seen))).round().astype(int)])


def strip(
    video: Video, predictions: Mapping[Colour, np.ndarray], count: int = 5, height: int = 240
) -> np.ndarray | None:
    """Frames of a video side by side, truth in green.

    Args:
        video: with frames on disk.
        predictions: colour to (n, 4) boxes.
        count: number of frames.
        height: of the strip, pixels.

    Returns:
        (height, w, 3) uint8 RGB; None where the frames cannot be read.
    """
    tiles = []
    for index in chosen_frames(video, count):
        try:
            frame = read_frame(video.frames.path(int(index)))
        except (SpotError, IndexError):
            return None
        boxes = {colour: table[index] for colour, table in predictions.items()}
        tiles.append(draw_boxes(frame.pixels, height / frame.height, video.boxes[index], boxes, f"#{index + 1}"))
    gap = np.full((height, 3, 3), PAPER, np.uint8)
    return np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis=1)


def contact_sheet(
    video: Video, boxes: np.ndarray, path: str | Path, count: int = 12, columns: int = 4, width: int = 320
) -> Path:
    """Write frames of a video as a PNG: truth in green, prediction in red, each labelled with its overlap.

    Args:
        video: with frames on disk.
        boxes: (n, 4) predicted boxes xywh in pixels of the full frame.
        path: of the PNG.
        count: number of frames, spread over those that show the target.
        columns: frames a row.
        width: of a frame in the sheet, pixels.

    Raises:
        SpotError: a frame is missing, or the boxes are not as many as the frames.
    """
    if len(boxes) != len(video):
        raise SpotError(f"{video.name}: {len(boxes)} boxes for {len(video)} frames")
    truth = np.asarray(video.boxes, np.float64)
    ious = overlap(truth, np.asarray(boxes, np.float64))
    tiles = []
    for index in chosen_frames(video, count):
        frame = read_frame(video.frames.path(int(index)))
        label = f"frame {index + 1}   IoU {ious[index]:.2f}" if np.isfinite(ious[index]) else f"frame {index + 1}"
        tiles.append(
            draw_boxes(frame.pixels, width / frame.width, truth[index], {RED: np.asarray(boxes[index])}, label)
        )
    cell = (max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles))
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    gap, head = 4, 26
    sheet = np.full((head + rows * (cell[0] + gap), columns * (cell[1] + gap) - gap, 3), PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = head + number // columns * (cell[0] + gap), number % columns * (cell[1] + gap)
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    for x, text, colour in (
        (6, video.name, (30, 30, 30)),
        (sheet.shape[1] - 170, "truth", GREEN),
        (sheet.shape[1] - 100, "prediction", RED),
    ):
        cv2.putText(sheet, text, (x, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_png(sheet))
    return path


def as_png(picture: np.ndarray) -> bytes:
    """PNG of (h, w, 3) uint8 RGB."""
    return cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()


def as_jpeg(picture: np.ndarray) -> bytes:
    """JPEG of (h, w, 3) uint8 RGB, quality 82."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=82, colorspace="RGB")
