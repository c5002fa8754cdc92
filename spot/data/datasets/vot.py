"""VOT2016, VOT2018, VOT2019 and VOT2018-LT, as the VOT toolkits lay them out.

<root>/<version>/[sequences/]list.txt                      names, one a line
                             <sequence>/[color/]00000001.jpg ...
                                       /groundtruth.txt    8 corner coordinates or x,y,w,h a line, NaN where absent
                                       /occlusion.tag ...  optional (or .label): a flag a line, lists may be short
"""

from __future__ import annotations

import os

import numpy as np

from spot.data.annotations import drawable, fit_rows, parse_flags, parse_table
from spot.data.datasets import pysot
from spot.data.folders import list_frames, need_root, read_optional
from spot.data.images import read_bytes
from spot.data.polygons import enclosing_boxes, is_polygon
from spot.data.splits import read_list
from spot.data.video import Video, VideoSet
from spot.runtime.errors import SpotError

VERSIONS = ("VOT2016", "VOT2018", "VOT2019", "VOT2018-LT")


def load(
    root: str | None, version: str = "VOT2018", annotations: str | None = None, broken: list[str] | None = None
) -> VideoSet:
    """Open a VOT benchmark: boxes for trackers, and polygons and tags where it has them.

    Args:
        root: the folder that holds the versions' folders.
        version: VOT2016, VOT2018, VOT2019 or VOT2018-LT.
        annotations: read the videos from this JSON file of the pysot toolkit instead.
        broken: collects one line for each video that cannot be read, and leaves it out, instead of raising.

    Raises:
        SpotError: missing or broken data; an unknown version.
    """
    root = need_root(root, "vot", "VOT_ROOT")
    if version not in VERSIONS:
        raise SpotError(f"version={version} of VOT is unknown; choose from: {', '.join(VERSIONS)}")
    if annotations:
        return pysot.load(version, root, annotations, (f"{version}/", f"{version}/sequences/", ""))
    places = [p for p in (f"{root}/{version}/sequences", f"{root}/{version}") if os.path.isfile(f"{p}/list.txt")]
    if not places:
        raise SpotError(f"{root}/{version}: no list.txt; download the sequences with the VOT toolkit")
    videos = []
    for name in read_list(f"{places[0]}/list.txt", folders=True):
        try:
            videos.append(_video(f"{places[0]}/{name}", name))
        except SpotError as error:
            if broken is None:
                raise
            broken.append(str(error))
    return VideoSet.from_videos(version, videos, "test")


def _video(home: str, name: str) -> Video:
    file = f"{home}/groundtruth.txt"
    data = read_bytes(file)
    truth = parse_table(data, file, None)
    if truth.shape[1] not in (4, 8):
        raise SpotError(f"{file}: {truth.shape[1]} numbers a line instead of 4 or 8; download it again")
    frames = list_frames(f"{home}/color" if os.path.isdir(f"{home}/color") else home)
    fit_rows(truth, len(frames), file)
    polygons = truth.astype(np.float32) if is_polygon(truth) else None
    boxes = truth.astype(np.float32) if polygons is None else enclosing_boxes(polygons)
    return Video(name, frames, boxes, drawable(boxes), polygons=polygons, frame_tags=_tags(home, len(frames)))


def _tags(home: str, frames: int) -> dict[str, np.ndarray]:
    tags = {}
    for tag in pysot.TAGS:
        for file in (f"{home}/{tag}.tag", f"{home}/{tag}.label"):
            if (data := read_optional(file)) is not None:
                flags = parse_flags(data, file) if data.strip() else np.zeros(0)
                tags[tag] = pysot.fit_tag(flags.tolist(), frames)
                break
    return tags
