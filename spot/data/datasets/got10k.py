"""GOT-10k."""

from __future__ import annotations

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, fit_rows, parse_flags, parse_table
from spot.data.files import read_optional
from spot.data.images import read_bytes


def annotation_files(folder: str) -> tuple[str, str, str]:
    """The annotation files of a sequence's folder: boxes, and the optional absence and cover."""
    return f"{folder}/groundtruth.txt", f"{folder}/absence.label", f"{folder}/cover.label"


def read_annotation(source: Source) -> Annotation:
    """Boxes and visibility: absence 0, cover above 0 where it is given, and a box with an area.

    A file of one row, where the sequence has more frames, annotates the first of them (test servers).
    """
    truth, absence, cover = source.files
    boxes = parse_table(read_bytes(truth), truth, 4).astype(np.float32)
    frames = len(source.frames)
    if len(boxes) == 1 and frames > 1:
        boxes = np.concatenate([boxes, np.full((frames - 1, 4), np.nan, np.float32)])
    boxes = fit_rows(boxes, frames or len(boxes), truth)
    visible = drawable(boxes)
    if (data := read_optional(absence)) is not None:
        visible &= fit_rows(parse_flags(data, absence), len(boxes), absence) == 0
    if (data := read_optional(cover)) is not None:
        visible &= fit_rows(parse_flags(data, cover), len(boxes), cover) > 0
    return Annotation(boxes, visible)
