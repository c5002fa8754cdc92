"""GOT-10k, as downloaded; sequences may stay in their zip files.

<root>/train/list.txt                              names in order (sorted folders where it is missing)
            /GOT-10k_Train_000001/00000001.jpg ...
                                 /groundtruth.txt  x,y,w,h a line
                                 /absence.label    1 where the target is absent
                                 /cover.label      0..8: how much of the target is seen
<root>/val/..., <root>/test/...                    alike; groundtruth.txt of the test set has the first box alone
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, first_frame_alone, fit_rows, parse_flags, parse_table
from spot.data.datasets import pysot
from spot.data.folders import list_frames, locate, names_in, need_root, packed_folders, read_optional
from spot.data.images import read_bytes
from spot.data.reading import read_videos
from spot.data.splits import choose, list_file, read_list, split_name
from spot.data.video import Frames, VideoSet
from spot.runtime.errors import SpotError


def load(
    root: str | None,
    split: str = "vottrain",
    splits: str | None = None,
    annotations: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open GOT-10k.

    Args:
        root: the folder that holds `train`, `val` and `test`.
        split: `val` and `test`, the official ones; `all` or `train`, all 9,335 training videos; `vottrain` (7,086),
            `votval`, or another list of training videos (see `spot.data.splits`). The list behind `vottrain` is used as
            published: it should leave out the 1,000 videos that VOT excludes, but it counts folders from 0 and their
            names count from 1. So it contains 765 of them.
        splits: folder of list files.
        annotations: read the videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data.
    """
    root = need_root(root, "got10k", "GOT10K_ROOT")
    if annotations:
        return pysot.load("GOT-10k", root, annotations, (f"{split}/", ""))
    folder = split if split in ("val", "test") else "train"
    file = None if split in ("train", "all", "val", "test") else list_file(split, "got10k", splits)

    def find() -> tuple[list[Source], list[str]]:
        available = partial(_sequences, f"{root}/{folder}")
        names = choose(file, available) if file else available()
        sources = [_source(root, folder, name) for name in names]
        return sources, [p for p in (f"{root}/{folder}", f"{root}/{folder}/list.txt", file) if p]

    return read_videos("GOT-10k", split_name(split), f"{root} {file}", find, read_annotation, cache, broken)


def annotation_files(folder: str) -> tuple[str, str, str]:
    """Return the annotation files of a sequence: boxes, and the optional absence and cover."""
    return f"{folder}/groundtruth.txt", f"{folder}/absence.label", f"{folder}/cover.label"


def read_annotation(source: Source) -> Annotation:
    """Return boxes and visibility of one sequence; see `fit_annotation`."""
    return fit_annotation(parse_table(read_bytes(source.files[0]), source.files[0], 4), source)


def fit_annotation(table: np.ndarray, source: Source) -> Annotation:
    """Return the annotation of a sequence from the rows (n, 4) of its groundtruth.txt and its flags.

    A frame is visible if its box has an area, absence is 0 and cover, where it is given, is above 0. A file of one row
    annotates the first frame of a longer sequence.
    """
    truth, absence, cover = source.files
    frames = len(source.frames)
    boxes = first_frame_alone(table.astype(np.float32), frames)
    fit_rows(boxes, frames or len(boxes), truth)
    visible = drawable(boxes)
    if (data := read_optional(absence)) is not None:
        visible &= fit_rows(parse_flags(data, absence), len(boxes), absence) == 0
    if (data := read_optional(cover)) is not None:
        visible &= fit_rows(parse_flags(data, cover), len(boxes), cover) > 0
    return Annotation(boxes, visible)


def _sequences(folder: str) -> list[str]:
    """Return names of the sequences of a folder in official order."""
    if os.path.isfile(f"{folder}/list.txt"):
        return read_list(f"{folder}/list.txt", folders=True)
    entries = [n for n in names_in(folder) if os.path.isdir(f"{folder}/{n}")] if os.path.isdir(folder) else []
    packed = [*packed_folders(folder), *packed_folders(os.path.dirname(folder))]
    names = sorted({n for n in [*entries, *packed] if n.startswith("GOT-10k_")})
    if not names:
        raise SpotError(f"{folder}: no sequences; expected list.txt and folders GOT-10k_..., or their zip files")
    return names


def _source(root: str, folder: str, name: str) -> Source:
    home = locate(root, f"{folder}/{name}")
    frames = list_frames(home) if folder == "test" else Frames(home, 0)
    return Source(name, frames, annotation_files(home))
