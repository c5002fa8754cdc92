"""TrackingNet, as downloaded; frames may stay in the zip files, one a video.

<root>/TRAIN_0/anno/<video>.txt          x,y,w,h a line: whole numbers where a human drew the box
              /frames/<video>/0.jpg ...  or /zips/<video>.zip
<root>/TRAIN_1 ... TRAIN_11              likewise
<root>/TEST                              likewise; its annotations have the first box alone
"""

from __future__ import annotations

import os

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.datasets import pysot
from spot.data.folders import list_frames, names_in, need_root
from spot.data.reading import read_boxes, read_videos
from spot.data.splits import format_sets, parse_sets, read_list, split_name
from spot.data.video import Frames, VideoSet
from spot.runtime.errors import SpotError

SETS = range(12)


def load(
    root: str | None,
    split: str | int = "0-3",
    annotations: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open TrackingNet.

    Args:
        root: the folder that holds `TRAIN_0` .. `TRAIN_11` and `TEST`.
        split: `test`, training sets (`0-3`, `0,2,5-7`, `all`), or a list file of lines `00,<video>`. Training
            videos are named `TrackingNet_00_<video>`, test videos keep their bare names.
        annotations: read the test videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data; a split of another form.
    """
    root = need_root(root, "trackingnet", "TRACKINGNET_ROOT")
    split = str(split)
    if annotations:
        return pysot.load("TrackingNet", root, annotations, ("", "TEST/", "TEST/frames/"))
    listed = split.endswith(".txt")
    numbers = [] if listed or split == "test" else _numbers(split)
    sets = ["TEST"] if split == "test" else [f"TRAIN_{n}" for n in numbers]

    def find() -> tuple[list[Source], list[str]]:
        videos = _listed(split) if listed else [(s, v) for s in sets for v in _videos(f"{root}/{s}/anno")]
        folders = sorted({s for s, _ in videos})
        frames = {s: _frame_folders(f"{root}/{s}") for s in folders}
        looked_at = [split] if listed else [f"{root}/{s}/anno" for s in sets]
        looked_at += [f"{root}/{s}/frames" for s in folders]
        return [_source(root, s, video, video in frames[s]) for s, video in videos], looked_at

    name = split_name(split) if listed or split == "test" else format_sets(numbers)
    videos = read_videos("TrackingNet", name, f"{root} {split}", find, read_boxes, cache, broken)
    videos.human, videos.parts = is_human, [str(number) for number in numbers]
    return videos


def is_human(boxes: np.ndarray) -> np.ndarray:
    """Return (n,) bool, True for boxes (n, 4) that a human drew: only these have whole coordinates."""
    return np.abs(boxes - np.round(boxes)).sum(1) <= 0.01


def _numbers(split: str) -> list[int]:
    numbers = list(SETS) if split in ("all", "train") else parse_sets(split)
    if not set(numbers).issubset(SETS):
        raise SpotError(f"split={split} of TrackingNet: its training sets are 0 to {SETS[-1]}")
    return numbers


def _listed(file: str) -> list[tuple[str, str]]:
    """Set folder and video of each line `00,<video>` of a list file."""
    pairs = [line.partition(",") for line in read_list(file)]
    for number, comma, video in pairs:
        if not (comma and video and number.isdecimal()):
            raise SpotError(f"{file}: {number}{comma}{video} is not of the form 00,<video>")
    return [(f"TRAIN_{int(number)}", video) for number, _, video in pairs]


def _videos(folder: str) -> list[str]:
    names = [n.removesuffix(".txt") for n in names_in(folder) if n.endswith(".txt")]
    if not names:
        raise SpotError(f"{folder}: no annotations; expected <video>.txt")
    return names


def _frame_folders(folder: str) -> set[str]:
    """Return the videos of a set whose frames are unpacked."""
    return set(names_in(f"{folder}/frames")) if os.path.isdir(f"{folder}/frames") else set()


def _source(root: str, folder: str, video: str, unpacked: bool) -> Source:
    home = f"{root}/{folder}"
    archive = f"{home}/zips/{video}.zip"
    place = f"{archive}!" if not unpacked and os.path.isfile(archive) else f"{home}/frames/{video}"
    is_test = folder == "TEST"
    name = video if is_test else f"TrackingNet_{int(folder.removeprefix('TRAIN_')):02d}_{video}"
    frames = list_frames(place) if is_test else Frames(place, 0, "{}.jpg", 0)
    return Source(name, frames, (f"{home}/anno/{video}.txt",))
