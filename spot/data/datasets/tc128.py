"""Temple Color 128, as downloaded.

<root>/<sequence>/img/0001.jpg ...
                 /<sequence>_gt.txt        x,y,w,h a line
                 /<sequence>_frames.txt    numbers of the first and the last frame
"""

from __future__ import annotations

import os

from spot.data.annotation_cache import Source
from spot.data.annotations import fit_rows, parse_flags
from spot.data.datasets import pysot
from spot.data.folders import names_in, need_root
from spot.data.images import read_bytes
from spot.data.reading import read_boxes, read_videos
from spot.data.video import Frames, VideoSet
from spot.runtime.errors import SpotError


def load(
    root: str | None, annotations: str | None = None, cache: str | None = None, broken: list[str] | None = None
) -> VideoSet:
    """Open Temple Color 128.

    Args:
        root: the folder of the sequences.
        annotations: read the videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data.
    """
    root = need_root(root, "tc128", "TC128_ROOT")
    if annotations:
        return pysot.load("TC128", root, annotations)

    def find() -> tuple[list[Source], list[str]]:
        names = [n for n in names_in(root) if os.path.isdir(f"{root}/{n}/img")]
        if not names:
            raise SpotError(f"{root}: no sequences; expected <sequence>/img and <sequence>/<sequence>_gt.txt")
        sources = [_source(f"{root}/{n}", n) for n in names]
        return sources, [root, *(f"{root}/{n}" for n in names)]

    return read_videos("TC128", "test", root, find, read_boxes, cache, broken)


def _source(home: str, name: str) -> Source:
    # `Yo_yos_ce1` has `Yo-yos_ce1_gt.txt`: the ending tells, not the name.
    found = {end: f"{home}/{n}" for n in names_in(home) for end in ("_gt.txt", "_frames.txt") if n.endswith(end)}
    files = tuple(found.get(end, f"{home}/{name}{end}") for end in ("_gt.txt", "_frames.txt"))
    numbers = parse_flags(read_bytes(files[1]), files[1])
    first, last = fit_rows(numbers, 2, files[1], "numbers").astype(int).tolist()
    return Source(name, Frames(f"{home}/img", last - first + 1, "{:04d}.jpg", first), files)
