"""Need for Speed at 30 and 240 frames a second, as downloaded.

    <root>/<sequence>/30/<sequence>/00001.jpg ...
                     /30/<sequence>.txt      id x1 y1 x2 y2 frame lost occluded generated "label" a line
                     /240/...                likewise

Some annotations of the 30 fps videos are those of the 240 fps videos: every eighth line belongs to a frame then.
"""

from __future__ import annotations

import os
import re

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, fit_rows, parse_table
from spot.data.datasets import pysot
from spot.data.folders import list_frames, names_in, need_root
from spot.data.images import read_bytes
from spot.data.reading import read_videos
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError

_RATIO = 8  # frames of the fast video to one of the slow
_LABEL = re.compile(rb'"[^"\n]*"')
_COLUMNS = 9
_CORNERS, _LOST = slice(1, 5), 6


def load(
    root: str | None,
    fps: int = 30,
    annotations: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open the 100 videos of NFS30 or NFS240.

    Args:
        root: the folder of the sequences.
        fps: 30 or 240 frames a second.
        annotations: read the videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data; another frame rate.
    """
    root = need_root(root, "nfs", "NFS_ROOT")
    if fps not in (30, 240):
        raise SpotError(f"fps={fps} of NFS: choose 30 or 240")
    name = f"NFS{fps}"
    if annotations:
        return pysot.load(name, root, annotations)

    def find() -> tuple[list[Source], list[str]]:
        names = [n for n in names_in(root) if os.path.isdir(f"{root}/{n}/{fps}")]
        if not names:
            raise SpotError(f"{root}: no sequences; expected <sequence>/{fps}/<sequence>.txt and its frames")
        sources = [_source(f"{root}/{n}/{fps}/{n}", n) for n in names]
        return sources, [root, *(s.frames.folder for s in sources)]

    return read_videos(name, "test", root, find, _read, cache, broken)


def _source(home: str, name: str) -> Source:
    return Source(name, list_frames(home), (f"{home}.txt",))


def _read(source: Source) -> Annotation:
    """Return rows that fit the frames. If there is one row or one frame too many, it is left out."""
    file, frames = source.files[0], len(source.frames)
    rows = parse_table(_LABEL.sub(b"", read_bytes(file)), file, _COLUMNS)
    if abs(len(rows) / frames - _RATIO) < 1:
        rows = rows[::_RATIO]
    if abs(len(rows) - frames) > 1:
        fit_rows(rows, frames, file)
    rows = rows[:frames]
    corners = rows[:, _CORNERS]
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).astype(np.float32)
    return Annotation(boxes, drawable(boxes) & (rows[:, _LOST] == 0))
