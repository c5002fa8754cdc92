"""Is a data set complete? Walks its files and says what training would stumble over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

import numpy as np

from spot.data.folders import IMAGES, names_in
from spot.data.images import read_frame
from spot.data.video import Video, VideoSet
from spot.runtime.errors import SpotError

SHOWN = 3  # faults of one kind that are told one by one, for each video


@dataclass(frozen=True)
class Finding:
    """What the check found of one video.

    Attributes:
        video: its name.
        frames: how many frames it has.
        faults: one line for each fault, which names the file.
    """

    video: str
    frames: int
    faults: tuple[str, ...]


def check_videos(videos: VideoSet, quick: bool = False, exact: bool = True, workers: int = 1) -> Iterator[Finding]:
    """Check every video of a set, in parallel; findings come as they are ready.

    Args:
        videos: the set.
        quick: only look whether the frames are there; otherwise decode each of them and look whether the visible boxes
            lie inside.
        exact: a folder with more images than annotated frames is a fault (benchmarks cut videos from longer folders).
        workers: processes.
    """
    look = partial(check_video, quick=quick, exact=exact)
    if workers <= 1:
        yield from map(look, videos)
        return
    with ProcessPoolExecutor(workers) as pool:
        tasks = [pool.submit(look, video) for video in videos]
        for task in as_completed(tasks):
            yield task.result()


def check_video(video: Video, quick: bool, exact: bool) -> Finding:
    """Check one video; see `check_videos`."""
    faults: list[str] = []
    try:
        missing = _check_names(video, exact, faults)
        if not quick:
            _check_frames(video, missing, faults)
    except SpotError as error:
        faults.append(str(error))
    if not video.visible.any() and np.isfinite(video.boxes).all():
        faults.append(f"{video.frames.folder}: the target is visible in no frame; no key frame can be drawn")
    return Finding(video.name, len(video), tuple(faults))


def _check_names(video: Video, exact: bool, faults: list[str]) -> set[str]:
    """Compare the names of the frames with those in their folder; returns the missing ones."""
    there = {n for n in names_in(video.frames.folder) if n.lower().endswith(IMAGES) and not n.startswith(".")}
    expected = [os.path.basename(video.frames.path(i)) for i in range(len(video))]
    missing = [name for name in expected if name not in there]
    _tell(faults, [f"{video.frames.folder}/{name}: missing" for name in missing], video.frames.folder)
    if exact and (extra := len(there.difference(expected))):
        faults.append(f"{video.frames.folder}: {extra} images more than the {len(video)} annotated frames")
    return set(missing)


def _check_frames(video: Video, missing: set[str], faults: list[str]) -> None:
    """Decode all frames (at an eighth of their size) and compare sizes and boxes."""
    unreadable, odd, outside = [], [], []
    size: tuple[int, int] | None = None
    for i in range(len(video)):
        path = video.frames.path(i)
        if os.path.basename(path) in missing:
            continue
        try:
            frame = read_frame(path, "fast", crop_pixels=8, out_pixels=1)
        except SpotError as error:
            unreadable.append(str(error))
            continue
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            odd.append(f"{path}: {frame.width} x {frame.height} pixels, the frames before it {size[0]} x {size[1]}")
        if video.visible[i] and not _inside(video.boxes[i], frame.width, frame.height):
            outside.append(
                f"{path}: the box {video.boxes[i].tolist()} lies outside {frame.width} x {frame.height} pixels"
            )
    for lines in (unreadable, odd, outside):
        _tell(faults, lines, video.frames.folder)


def _inside(box: np.ndarray, width: int, height: int) -> bool:
    x, y, w, h = box.tolist()
    return x < width and y < height and x + w > 0 and y + h > 0


def _tell(faults: list[str], lines: Sequence[str], folder: str) -> None:
    """Add the first few lines, and how many more there are."""
    faults += lines[:SHOWN]
    if more := lines[SHOWN:]:
        faults.append(f"{folder}: {len(more)} more such frames")
