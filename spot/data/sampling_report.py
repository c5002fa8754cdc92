"""The counts and the histogram of key frames that `spot.sample` shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.data.key_frames import KeyFrames
from spot.data.video import VideoSet

BINS = 60


def summarise(key_frames: KeyFrames, videos: VideoSet) -> dict[str, int]:
    """Return counts of what was drawn, for a table.

    Returns:
        Videos, labelled videos, failures by reason, boxes, videos by number of boxes, frames in all.
    """
    rows = {"videos": len(videos), "labelled videos": len(key_frames.targets)}
    for name in key_frames.failures:
        reason = f"failed: {_reason(videos, name)}"
        rows[reason] = rows.get(reason, 0) + 1
    rows["boxes"] = key_frames.boxes
    counts = [sum(len(p.ids) for p in targets) for targets in key_frames.targets.values()]
    for number, how_many in zip(*np.unique(counts, return_counts=True), strict=True):
        rows[f"videos with {number} boxes"] = int(how_many)
    rows["frames"] = int(videos.lengths.sum())
    return rows


def positions(key_frames: KeyFrames, videos: VideoSet) -> np.ndarray:
    """Return (boxes,) float64 in [0, 1]: where in its video each key frame lies, 0 the first frame and 1 the last."""
    lengths = videos.lengths
    parts = [
        target.ids / max(1, lengths[videos.index_of(name)] - 1)
        for name, targets in key_frames.targets.items()
        for target in targets
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def draw_histogram(key_frames: KeyFrames, videos: VideoSet, file: Path) -> None:
    """Write a picture of `positions`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(positions(key_frames, videos), bins=BINS, range=(0, 1), color="tab:blue")
    axes.set(
        xlim=(0, 1),
        xlabel="place in the video (0: first frame, 1: last)",
        ylabel="key frames",
        title=f"{key_frames.settings['name']}: {key_frames.boxes} boxes in {len(key_frames.targets)} videos",
    )
    FigureCanvasAgg(figure).print_png(file)


def _reason(videos: VideoSet, name: str) -> str:
    video = videos[name]
    visible = int(video.visible.sum())
    if visible < 2:
        return "the target is visible in fewer than two frames"
    if videos.human is not None and not (videos.human(video.boxes) & video.visible).any():
        return "no visible box was drawn by a human"
    return "too few visible frames near the places to label"
