"""Check whether a data set is complete: find faults in its files that would stop or disturb training."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from spot.data.boxes import box_text, touch_image
from spot.data.folders import IMAGES, names_in
from spot.data.images import read_frame
from spot.data.video import Video, VideoSet
from spot.runtime.errors import SpotError
from spot.runtime.wording import counted

SHOWN = 3  # faults of one kind that are shown one by one, of each video and in all


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: name of this kind of fault.
        text: the line for the user, which names the file.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Finding:
    """The result of the check of one video.

    Attributes:
        video: its name.
        frames: number of its frames.
        faults: all faults, in the order of the frames within a kind.
        warnings: harmless JPEG warnings -> number of frames.
    """

    video: str
    frames: int
    faults: tuple[Fault, ...]
    warnings: dict[str, int] = field(default_factory=dict)


def check_videos(videos: VideoSet, quick: bool = False, exact: bool = True, workers: int = 1) -> Iterator[Finding]:
    """Check every video of a set in parallel and yield each finding when it is ready.

    Args:
        videos: the set.
        quick: check only that the frames exist; otherwise decode each frame and check that visible boxes are inside.
        exact: report a folder with more images than annotated frames. (Benchmarks cut videos from longer folders.)
        workers: number of processes.
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
    faults: list[Fault] = []
    warnings: Counter[str] = Counter()
    try:
        missing = _check_names(video, exact, faults)
        _check_boxes(video, faults)
        if not quick:
            _check_frames(video, missing, faults, warnings)
    except SpotError as error:
        faults.append(Fault("unreadable", str(error)))
    if not video.visible.any() and np.isfinite(video.boxes).all():
        text = f"{video.frames.folder}: the target is visible in no frame; no key frame can be drawn"
        faults.append(Fault("target visible in no frame", text))
    return Finding(video.name, len(video), tuple(faults), warnings)


def _check_names(video: Video, exact: bool, faults: list[Fault]) -> set[int]:
    """Compare the names of the frames with those in their folder, whatever their endings; gives the missing frames."""
    folder = video.frames.folder
    images = [n for n in names_in(folder) if n.lower().endswith(IMAGES)]
    there = {os.path.splitext(name)[0] for name in images}
    expected = [os.path.basename(video.frames.path(i)) for i in range(len(video))]
    stems = [os.path.splitext(name)[0] for name in expected]
    missing = {i for i, stem in enumerate(stems) if stem not in there}
    faults += [Fault("missing frame", f"{folder}/{expected[i]}: missing") for i in sorted(missing)]
    if exact and (extra := len(there.difference(stems))):
        text = f"{folder}: {extra} images more than the {len(video)} annotated frames"
        faults.append(Fault("images without annotation", text))
    return missing


def _check_boxes(video: Video, faults: list[Fault]) -> None:
    """Find boxes with a negative side, or with one side of 0: an absent target is written 0,0,0,0 or -1,-1,-1,-1."""
    w, h = video.boxes[:, 2], video.boxes[:, 3]
    wrong = ((w < 0) | (h < 0) | ((w == 0) != (h == 0))) & ~(video.boxes == -1).all(1)
    for i in np.flatnonzero(wrong).tolist():
        faults.append(Fault("box without an area", f"{_row(video, i)}: the box {box_text(video.boxes[i])} has no area"))


def _check_frames(video: Video, missing: set[int], faults: list[Fault], warnings: Counter[str]) -> None:
    """Decode all frames (at an eighth of their size) and check that the visible boxes overlap the image.

    Frames of a video may differ in size.
    """
    for i in range(len(video)):
        if i in missing:
            continue
        path = video.frames.path(i)
        try:
            frame = read_frame(path, "fast", crop_pixels=8, out_pixels=1)
        except SpotError as error:
            faults.append(Fault("unreadable frame", str(error)))
            continue
        if frame.warning:
            warnings[frame.warning] += 1
        if video.visible[i] and not touch_image(video.boxes[i], frame.width, frame.height):
            size = f"{frame.width} x {frame.height} pixels"
            text = f"{_row(video, i)}: the box {box_text(video.boxes[i])} lies outside the {size} of {path}"
            faults.append(Fault("box outside the image", text))


def _row(video: Video, frame: int) -> str:
    """Annotation file and row of a frame; the frame alone where the rows are not those of the frames."""
    if not video.annotation:
        return f"{video.name}: frame {frame}"
    return f"{video.annotation}: row {frame + 1}"


class Report:
    """Collects faults. The first few of each kind get a line; `summary` counts the rest."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()  # by kind
        self._shown: Counter[tuple[str, str]] = Counter()  # by kind and video
        self._videos: dict[str, set[str]] = defaultdict(set)
        self.warnings: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, finding: Finding) -> list[str]:
        """Count a video's faults and return the lines to show."""
        lines = []
        for fault in finding.faults:
            videos = self._videos[fault.kind]
            videos.add(finding.video)
            self._counts[fault.kind] += 1
            self._shown[fault.kind, finding.video] += 1
            count, own = self._counts[fault.kind], self._shown[fault.kind, finding.video]
            # of each kind a few of the first videos, and for each further video one line up to a limit
            if own <= SHOWN and (count <= 2 * SHOWN or (own == 1 and len(videos) <= 10)):
                lines.append(fault.text)
        self.warnings.update(finding.warnings)
        return lines

    def summary(self) -> list[str]:
        """Return a line for each kind of fault that has more of them than were shown, and for each harmless warning."""
        lines = [
            f"{kind}: {count} in {counted(len(self._videos[kind]), 'video')}"
            for kind, count in sorted(self._counts.items())
            if count > 1
        ]
        harmless = [
            f"still readable: {counted(count, 'JPEG file')} ({text})" for text, count in sorted(self.warnings.items())
        ]
        return lines + harmless
