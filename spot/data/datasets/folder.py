"""Any folder of sequences in the GOT-10k layout: one's own videos, or a rendered set.

<root>/[<split>/]list.txt                       optional: names in order, one a line
<root>/[<split>/]<sequence>/00000001.jpg ...    images, whatever their names, in the natural order of their names
                           /groundtruth.txt     x,y,w,h a line and frame, NaN where a frame has no box;
                                                or frame,x,y,w,h a line, only of frames that have a box (from 0);
                                                or one line x,y,w,h alone: the box of the first frame
                           /absence.label       optional: 1 where the target is absent, a line a frame
                           /cover.label         optional: 0 where nothing of the target is seen
"""

from __future__ import annotations

import os

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, parse_table
from spot.data.datasets.got10k import annotation_files, fit_annotation
from spot.data.folders import list_frames, names_in, need_root
from spot.data.images import read_bytes
from spot.data.reading import read_videos
from spot.data.splits import read_list
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError


def load(
    root: str | None,
    split: str | None = None,
    name: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open a folder of sequences.

    Args:
        root: the folder.
        split: its subfolder that holds the sequences; None where they lie in `root` itself.
        name: name of the data set in key-frame files, `root`'s own name by default.
        cache: folder for parsed annotations; None parses them anew.
        broken: collects one line for each video that cannot be read instead of raising.

    Raises:
        SpotError: the folder is missing or empty; a file in it is broken (it is named).
    """
    root = need_root(root, "folder", "FOLDER_ROOT")
    base = f"{root}/{split}" if split else root
    name = name or os.path.basename(os.path.abspath(root))
    return read_videos(name, split or "", os.path.abspath(base), lambda: _find(base), read_annotation, cache, broken)


def _find(base: str) -> tuple[list[Source], list[str]]:
    entries = names_in(base)
    if "list.txt" in entries:
        names = read_list(f"{base}/list.txt", folders=True)
    else:
        names = [n for n in entries if os.path.isdir(f"{base}/{n}")]
    if not names:
        raise SpotError(f"{base}: no sequences; expected a folder with images and groundtruth.txt for each")
    folders = [f"{base}/{n}" for n in names]
    sources = [
        Source(name, list_frames(folder), annotation_files(folder)) for name, folder in zip(names, folders, strict=True)
    ]
    return sources, [base, f"{base}/list.txt", *folders]


def read_annotation(source: Source) -> Annotation:
    """Return boxes and visibility of one sequence, from either form of groundtruth.txt; see `got10k.fit_annotation`."""
    file = source.files[0]
    data = read_bytes(file)
    first = next((line for line in data.splitlines() if line.strip()), b"")
    if len(first.replace(b",", b" ").split()) != 5:
        return fit_annotation(parse_table(data, file, 4), source)
    return fit_annotation(spread_rows(parse_table(data, file, 5), len(source.frames), file), source)


def spread_rows(table: np.ndarray, frames: int, file: str) -> np.ndarray:
    """Return rows frame,x,y,w,h as (frames, 4) xywh, NaN in frames without a row.

    Raises:
        SpotError: naming file and row: no whole number of a frame of the video, a frame twice, a box without an area.
    """
    boxes = np.full((frames, 4), np.nan)
    good = drawable(table[:, 1:])
    for row, (number, has_area) in enumerate(zip(table[:, 0].tolist(), good.tolist(), strict=True), 1):
        if not (number.is_integer() and 0 <= number < frames):
            raise SpotError(f"{file}: row {row} names frame {number:g}; the {frames} frames are numbered from 0")
        if not has_area:
            raise SpotError(f"{file}: row {row} has no box with an area; correct or remove it")
        if np.isfinite(boxes[int(number), 0]):
            raise SpotError(f"{file}: row {row} gives frame {number:g} a second box; remove one")
        boxes[int(number)] = table[row - 1, 1:]
    return boxes
