"""LaSOT and its extension, as downloaded; the categories may stay in their zip files.

<root>/<category>/<category>-<n>/img/00000001.jpg ...
                                /groundtruth.txt        x,y,w,h a line
                                /full_occlusion.txt     flags of all frames in one line
                                /out_of_view.txt        likewise
<root>/training_set.txt, testing_set.txt                names of the 1,120 and 280 videos
<root>/attributes/<category>-<n>.txt                    optional: 14 flags (`att` in the official toolkit)
"""

from __future__ import annotations

import os
import re
from functools import partial

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, fit_rows, parse_flags, parse_table
from spot.data.datasets import pysot
from spot.data.folders import locate, names_in, need_root, packed_folders
from spot.data.images import read_bytes
from spot.data.reading import add_attributes, read_videos
from spot.data.splits import choose, list_file, read_list, refuse_overlap, split_name
from spot.data.video import Frames, VideoSet
from spot.runtime.errors import SpotError

ATTRIBUTES = (
    "Illumination Variation",
    "Partial Occlusion",
    "Deformation",
    "Motion Blur",
    "Camera Motion",
    "Rotation",
    "Background Clutter",
    "Viewpoint Change",
    "Scale Variation",
    "Full Occlusion",
    "Fast Motion",
    "Out-of-View",
    "Low Resolution",
    "Aspect Ratio Change",
)
_VIDEO = re.compile(r".+-\d+")
_OFFICIAL = {"train": "training_set.txt", "test": "testing_set.txt"}


def load(
    root: str | None,
    split: str = "train",
    splits: str | None = None,
    annotations: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open LaSOT.

    Args:
        root: its folder.
        split: `train`, `test`, or a list file (see `spot.data.splits`). Videos of `test` have their bare names,
            all others are named `LaSOT_airplane-10`.
        splits: folder of list files, for a root without its own.
        annotations: read the test videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data; a training split that holds test videos.
    """
    root = need_root(root, "lasot", "LASOT_ROOT")
    if annotations:
        return pysot.load("LaSOT", root, annotations, ("", "{category}/"))
    file = _list_file(root, split, splits)
    is_test = split == "test"

    def find() -> tuple[list[Source], list[str]]:
        names = choose(file, partial(_all_names, root))
        if not is_test:
            refuse_overlap(names, _test_names(root, splits), "LaSOT's test set")
        return [_source(root, name, "" if is_test else "LaSOT_") for name in names], [file]

    videos = read_videos("LaSOT", split_name(split), f"{root} {file}", find, _read, cache, broken)
    if not is_test:
        return videos
    folder = f"{root}/attributes" if os.path.isdir(f"{root}/attributes") else f"{root}/att"
    return add_attributes(videos, ATTRIBUTES, lambda name: f"{folder}/{name}.txt")


def load_extension(
    root: str | None, annotations: str | None = None, cache: str | None = None, broken: list[str] | None = None
) -> VideoSet:
    """Open the 150 videos of the LaSOT extension subset, in the order of their names; arguments as for `load`."""
    root = need_root(root, "lasot_extension", "LASOT_EXTENSION_ROOT")
    if annotations:
        return pysot.load("LaSOT_ext", root, annotations, ("", "{category}/"))

    def find() -> tuple[list[Source], list[str]]:
        if not (names := _all_names(root)):
            raise SpotError(f"{root}: no videos; expected <category>/<category>-<n>/groundtruth.txt")
        return [_source(root, name, "") for name in names], [root]

    return read_videos("LaSOT_ext", "test", root, find, _read, cache, broken)


def _list_file(root: str, split: str, splits: str | None) -> str:
    """Return the root's own list where it has one, else one of `splits`."""
    official = f"{root}/{_OFFICIAL.get(split)}"
    if os.path.isfile(official):
        return official
    try:
        return list_file(split, "lasot", splits)
    except SpotError as error:
        hint = f"{official}, which comes with LaSOT, does as well" if split in _OFFICIAL else ""
        raise SpotError("; ".join(filter(None, (str(error), hint)))) from None


def _test_names(root: str, splits: str | None) -> list[str]:
    try:
        return read_list(_list_file(root, "test", splits))
    except SpotError:  # whoever only trains need not have the list of the test set
        return []


def _all_names(root: str) -> list[str]:
    """Return all videos under the root, unpacked or not, sorted."""
    names = [n for c in names_in(root) if os.path.isdir(f"{root}/{c}") for n in names_in(f"{root}/{c}")]
    return sorted(n for n in {*names, *packed_folders(root)} if _VIDEO.fullmatch(n))


def _source(root: str, name: str, prefix: str) -> Source:
    home = locate(root, f"{name.rpartition('-')[0]}/{name}")
    files = tuple(f"{home}/{file}.txt" for file in ("groundtruth", "full_occlusion", "out_of_view"))
    return Source(prefix + name, Frames(f"{home}/img", 0), files)


def _read(source: Source) -> Annotation:
    truth, *flags = source.files
    boxes = parse_table(read_bytes(truth), truth, 4).astype(np.float32)
    visible = drawable(boxes)
    for file in flags:
        visible &= fit_rows(parse_flags(read_bytes(file), file), len(boxes), file) == 0
    return Annotation(boxes, visible)
