"""The review page of dense boxes: the weakest stretches first, as strips of pictures; a timeline of scores a video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import simplejpeg

from spot.annotation.calibration import Calibration
from spot.annotation.overlay import draw_box
from spot.data.box_table import BoxTable
from spot.data.images import read_frame
from spot.data.video import VideoSet
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError
from spot.runtime.pages import page_templates

WEAK_BELOW = 0.7  # score under which frames count as a weak stretch
STRIP = 7  # pictures of a stretch
STRETCHES = 40  # that are shown
PICTURE = 150  # pixels a side
WIDTH = 600  # points of a timeline


@dataclass(frozen=True)
class Stretch:
    """Weak frames in a row: `frames` with `boxes` and `scores`; `need` sums up the probability of being wrong."""

    video: str
    target: int
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    need: float

    @property
    def weakest(self) -> int:
        """The frame with the lowest score."""
        return int(self.frames[self.scores.argmin()])


def weak_stretches(dense: BoxTable) -> list[Stretch]:
    """Return the stretches of unlabelled frames with low scores, the weakest first."""
    weak = ~dense.is_gt & (dense.score < WEAK_BELOW)
    same = (dense.video[1:] == dense.video[:-1]) & (dense.target[1:] == dense.target[:-1]) & weak[1:] & weak[:-1]
    starts = np.flatnonzero(weak & ~np.concatenate([[False], same])) if len(dense) else np.zeros(0, int)
    ends = np.flatnonzero(weak & ~np.concatenate([same, [False]])) if len(dense) else np.zeros(0, int)
    found = []
    for start, end in zip(starts, ends, strict=True):
        rows = slice(int(start), int(end) + 1)
        need = float((1 - dense.score[rows]).sum())
        video, target = str(dense.video[start]), int(dense.target[start])
        found.append(Stretch(video, target, dense.frame[rows], dense.box[rows], dense.score[rows], need))
    return sorted(found, key=lambda stretch: -stretch.need)


def write_review(
    folder: Path,
    videos: VideoSet,
    dense: BoxTable,
    calibration: Calibration,
    label_command: Callable[[str, int], str],
    progress: Callable[[int], object] = lambda done: None,
) -> Path:
    """Write `index.html` and its pictures.

    Args:
        folder: of the page.
        videos: for the pictures.
        dense: a row for each frame of each target.
        calibration: the model behind the scores, for the page's first lines.
        label_command: a command that opens the label page at a video and frame.
        progress: called with 1 for each stretch that has its pictures.

    Returns:
        The page.
    """
    stretches = weak_stretches(dense)
    shown = []
    for number, stretch in enumerate(stretches[:STRETCHES]):
        pictures = _pictures(folder / "pictures", number, stretch, videos)
        shown.append(
            {
                "video": stretch.video,
                "target": stretch.target,
                "first": int(stretch.frames[0]),
                "last": int(stretch.frames[-1]),
                "mean": float(stretch.scores.mean()),
                "weakest": stretch.weakest,
                "pictures": pictures,
                "command": label_command(stretch.video, stretch.weakest),
                "link": f"http://127.0.0.1:8765/#{quote(stretch.video, safe='')}/{stretch.weakest}",
            }
        )
        progress(1)
    timelines = [_timeline(dense, key) for key in dense.targets]
    timelines.sort(key=lambda line: line["mean"])
    template = page_templates("spot.annotation", "review_page").get_template("review.html.j2")
    text = template.render(
        name=videos.name,
        stretches=shown,
        more=max(0, len(stretches) - STRETCHES),
        timelines=timelines,
        frames=len(dense),
        human=int(dense.is_gt.sum()),
        weak=int((~dense.is_gt & (dense.score < WEAK_BELOW)).sum()),
        absent=int(dense.absent.sum()),
        calibration=calibration,
        weak_below=WEAK_BELOW,
        width=WIDTH,
    )
    file = folder / "index.html"
    with replacing(file) as aside:
        aside.write_text(text, encoding="utf-8")
    return file


def _timeline(dense: BoxTable, key: tuple[str, int]) -> dict[str, Any]:
    """Return one target's scores as points of a curve: the lowest score of the frames behind each point."""
    rows = dense.take((dense.video == key[0]) & (dense.target == key[1]))
    count = min(WIDTH, len(rows))
    bounds = np.linspace(0, len(rows), count + 1).astype(int)
    lowest = np.minimum.reduceat(rows.score, bounds[:-1])
    at = (np.arange(count) + 0.5) * WIDTH / count
    points = " ".join(f"{x:.1f},{60 - 56 * y:.1f}" for x, y in zip(at, lowest, strict=True))
    place = lambda mask: [round((i + 0.5) * WIDTH / len(rows), 1) for i in np.flatnonzero(mask)]  # noqa: E731
    unlabelled = rows.score[~rows.is_gt]
    return {
        "video": key[0],
        "target": key[1],
        "frames": len(rows),
        "points": points,
        "human": place(rows.is_gt),
        "absent": place(rows.absent)[:2000],
        "step": max(WIDTH / len(rows), 0.6),
        "mean": float(unlabelled.mean()) if len(unlabelled) else 1.0,
    }


def _pictures(folder: Path, number: int, stretch: Stretch, videos: VideoSet) -> list[dict[str, Any]]:
    """Write crops of evenly spaced frames of a stretch."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = videos[stretch.video].frames
    pictures = []
    for i in np.unique(np.linspace(0, len(stretch.frames) - 1, STRIP).round().astype(int)):
        frame = int(stretch.frames[i])
        try:
            crop = _crop(
                read_frame(frames.path(frame)).pixels, stretch.boxes[i], stretch.target, float(stretch.scores[i])
            )
        except SpotError:
            continue
        file = folder / f"{number:03d}_{frame:06d}.jpg"
        file.write_bytes(simplejpeg.encode_jpeg(crop, quality=85))
        pictures.append({"file": f"pictures/{file.name}", "frame": frame, "score": float(stretch.scores[i])})
    return pictures


def _crop(pixels: np.ndarray, box: np.ndarray, target: int, score: float) -> np.ndarray:
    """Return a square around the box, three times as large; the whole frame where there is no box."""
    height, width = pixels.shape[:2]
    side = float(max(height, width))
    centre = np.array([width / 2, height / 2])
    if np.isfinite(box).all():
        side = float(np.clip(3 * max(box[2:]), 40, side))
        centre = box[:2] + box[2:] / 2
    scale = PICTURE / side
    shift = PICTURE / 2 - centre * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    crop = cv2.warpAffine(pixels, matrix, (PICTURE, PICTURE), flags=cv2.INTER_AREA, borderValue=(40, 40, 40))
    draw_box(crop, np.concatenate([box[:2] * scale + shift, box[2:] * scale]), target, score, text=False)
    return np.ascontiguousarray(crop)
