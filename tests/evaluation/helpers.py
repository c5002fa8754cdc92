"""Small benchmarks and trackers for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.data.video import Frames, Video, VideoSet
from spot.evaluation.ground_truth import GroundTruth


def wandering(rng: np.random.Generator, frames: int, whole: bool = True) -> np.ndarray:
    """(n, 4) boxes of a target on the move."""
    steps = rng.normal(0, 3, (frames, 4)) * [1, 1, 0.3, 0.3]
    boxes = np.cumsum(steps, axis=0) + np.array([200, 150, 50, 40])
    boxes[:, 2:] = np.abs(boxes[:, 2:]) + 4
    return np.rint(boxes) if whole else np.round(boxes, 2)


def make_videos(names: tuple[str, ...] = ("one", "two", "three"), frames: int = 40, seed: int = 0) -> VideoSet:
    """Videos without frames on disk; `two` has attributes."""
    rng = np.random.default_rng(seed)
    videos = [
        Video(
            name,
            Frames(f"/nowhere/{name}", frames + i),
            wandering(rng, frames + i).astype(np.float32),
            np.ones(frames + i, bool),
            ("Fast Motion", "Occlusion") if name == "two" else ("Occlusion",),
        )
        for i, name in enumerate(names)
    ]
    return VideoSet.from_videos("Toy", videos)


def truth_from(boxes: list[np.ndarray], visible: list[np.ndarray] | None = None, benchmark: str = "Toy") -> GroundTruth:
    """GroundTruth of videos given as (n, 4) arrays."""
    seen = np.concatenate(visible) if visible is not None else np.ones(sum(len(b) for b in boxes), bool)
    return GroundTruth(
        benchmark,
        tuple(f"v{i}" for i in range(len(boxes))),
        np.concatenate([[0], np.cumsum([len(b) for b in boxes])]).astype(np.int64),
        np.asfortranarray(np.concatenate(boxes).astype(np.float64)),
        seen,
    )


def write_tracker(
    folder: Path, videos: VideoSet, noise: float = 2.0, seed: int = 1, form: str = "{:.2f},{:.2f},{:.2f},{:.2f}"
) -> Path:
    """Plain result files of a tracker that follows with this much noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        boxes = np.nan_to_num(video.boxes.astype(np.float64)) + rng.normal(0, noise, (len(video), 4)) * [1, 1, 0.2, 0.2]
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        boxes[0] = video.boxes[0]
        lines = [form.format(*row) for row in boxes.tolist()]
        (folder / f"{video.name}.txt").write_text("\n".join(lines) + "\n")
    return folder
