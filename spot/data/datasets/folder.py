"""Any folder of sequences in the GOT-10k layout: one's own videos, or a rendered set.

<root>/[<split>/]list.txt                       optional: names in order, one a line
<root>/[<split>/]<sequence>/00000001.jpg ...    images, whatever their names, in the order of their names
                           /groundtruth.txt     x,y,w,h a line; one line alone: only the first frame is
                           annotated /absence.label       optional: 1 where the target is absent
                           /cover.label         optional: 0 where nothing of the target is seen
"""

from __future__ import annotations

import os

from spot.data.annotation_cache import Source
from spot.data.datasets.got10k import annotation_files, read_annotation
from spot.data.folders import list_frames, names_in, need_root
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
        names = read_list(f"{base}/list.txt")
    else:
        names = [n for n in entries if not n.startswith(".") and os.path.isdir(f"{base}/{n}")]
    if not names:
        raise SpotError(f"{base}: no sequences; expected a folder with images and groundtruth.txt for each")
    folders = [f"{base}/{n}" for n in names]
    sources = [
        Source(name, list_frames(folder), annotation_files(folder)) for name, folder in zip(names, folders, strict=True)
    ]
    return sources, [base, f"{base}/list.txt", *folders]
