"""Frames with boxes drawn on them: the strips of the worst videos in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from spot.data.images import read_frame
from spot.data.video import Video, VideoSet
from spot.evaluation.evaluation_result import EvaluationResult
from spot.reporting.tables import scores_of
from spot.runtime.errors import SpotError

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
FAR = 10_000
"""Pixels beyond which a box is not drawn; OpenCV overflows far outside the picture."""
TRUTH = WHITE
"""The true box: white with a black edge, which no tracker has and every background shows."""
BOX_COLOURS: tuple[Colour, ...] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
"""Colours of the trackers, told apart by colour-blind readers too (Okabe and Ito)."""
PAPER: Colour = (250, 250, 250)
FRAMES, HEIGHT = 5, 240
"""Frames in a strip, and its height in pixels."""


def draw_boxes(
    pixels: np.ndarray, scale: float, truth: np.ndarray, boxes: Mapping[Colour, np.ndarray], label: str
) -> np.ndarray:
    """Draw boxes and a label on a resized frame.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        scale: factor of the resize.
        truth: (4,) box xywh in pixels of the frame, drawn on top in white with a black edge; not drawn where it is NaN or empty.
        boxes: colour to predicted box (4,), the first on top.
        label: text, top left.

    Returns:
        (h * scale, w * scale, 3) uint8 RGB.
    """
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    lines = [(colour, box, 2) for colour, box in reversed(list(boxes.items()))]
    for colour, box, thickness in [*lines, (BLACK, truth, 5), (TRUTH, truth, 2)]:
        if np.isfinite(box).all() and (box[2:] > 0).all():
            ends = np.clip(np.rint(np.stack([box[:2], box[:2] + box[2:]]) * scale), -FAR, FAR).astype(int).tolist()
            cv2.rectangle(picture, ends[0], ends[1], colour, thickness, cv2.LINE_AA)
    (width, height), below = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)
    band = picture[: height + below + 4, : width + 10]
    band[...] = band // 3  # dark behind white text
    cv2.putText(picture, label, (5, height + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.55, WHITE, 1, cv2.LINE_AA)
    return picture


def chosen_frames(video: Video, count: int) -> np.ndarray:
    """Choose up to `count` frames, spread evenly over those that show the target; all frames where none is marked visible."""
    seen = np.flatnonzero(video.visible)
    seen = seen if len(seen) else np.arange(len(video))
    return np.unique(seen[np.linspace(0, len(seen) - 1, min(count, len(seen))).round().astype(int)])


def _strip(video: Video, predictions: Mapping[Colour, np.ndarray]) -> bytes | None:
    """Put frames of a video side by side, with the true box in white and `predictions` (colour to (n, 4) boxes).

    Returns:
        JPEG; None where the frames cannot be read.
    """
    tiles = []
    for index in chosen_frames(video, FRAMES):
        try:
            frame = read_frame(video.frames.path(int(index)))
        except (SpotError, IndexError):
            return None
        boxes = {colour: table[index] for colour, table in predictions.items()}
        tiles.append(draw_boxes(frame.pixels, HEIGHT / frame.height, video.boxes[index], boxes, f"#{index + 1}"))
    gap = np.full((HEIGHT, 3, 3), PAPER, np.uint8)
    picture = np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis=1)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=82, colorspace="RGB")


class Strip(NamedTuple):
    """Frames of one video: JPEG bytes, the name of the video, and its score by tracker."""

    video: str
    jpeg: bytes
    scores: Mapping[str, float]


def worst_strips(
    result: EvaluationResult,
    videos: VideoSet,
    boxes: Callable[[str, str], np.ndarray],
    colours: Mapping[str, Colour],
    count: int,
) -> list[Strip]:
    """Draw the videos with the lowest mean score, if their frames can be read.

    Args:
        result: the evaluation.
        videos: the benchmark.
        boxes: tracker and video to (n, 4) boxes.
        colours: colour of each tracker to show; others are not shown.
        count: number of videos.
    """
    if result.video_measure is None:
        return []
    scores = scores_of(result)[list(colours)]
    strips = []
    for video in scores.mean(axis=1).fillna(0).sort_values(kind="stable").index[:count]:
        known = scores.loc[video].dropna()
        shown = {colours[name]: boxes(name, video) for name in known.index}
        if (jpeg := _strip(videos[video], shown)) is not None:
            strips.append(Strip(video, jpeg, known.to_dict()))
    return strips
