"""The user's own labels: checked against the videos, and turned into key frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spot.data.box_table import BoxTable
from spot.data.boxes import touch_image
from spot.runtime.errors import SpotError

Sizes = Mapping[str, tuple[int, int, int]]  # name of a video -> frames, width, height; width 0 where it is unknown


def labels_file(folder: str | Path, name: str) -> Path:
    """Return the file of a data set's hand-drawn labels: `<paths.labels>/<name>.csv`."""
    return Path(folder) / f"{name}.csv"


def read_labels(file: str | Path, sizes: Sizes) -> BoxTable:
    """Read a CSV of labels and check it against the videos; an empty table where there is no file.

    Raises:
        SpotError: a broken file, an unknown video, a frame outside its video, or a box outside its image.
    """
    if not Path(file).exists():
        return BoxTable.from_rows([])
    table = BoxTable.read_csv(file)
    check_labels(table, sizes, str(file))
    return table


def check_labels(table: BoxTable, sizes: Sizes, source: str) -> None:
    """Raise SpotError for the first row that does not fit the videos; `source` names the table."""
    for name in dict.fromkeys(table.video.tolist()):
        if name not in sizes:
            known = ", ".join(list(sizes)[:3])
            raise SpotError(
                f"{source}: unknown video {name}; the videos are called {known}" + (", ..." if len(sizes) > 3 else "")
            )
        frames, width, height = sizes[name]
        rows = table.of_video(name)
        if (beyond := rows.frame >= frames).any():
            raise SpotError(
                f"{source}: {name} has no frame {rows.frame[beyond][0]}; its {frames} frames are numbered from 0"
            )
        outside = ~rows.absent & ~touch_image(rows.box, width, height)
        if width and outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise SpotError(
                f"{source}: {name}, frame {rows.frame[row]}: the box {rows.box[row].tolist()} lies outside the image of "
                f"{width} x {height} pixels; correct or remove it"
            )


def merge_labels(file: str | Path, new: BoxTable, sizes: Sizes) -> BoxTable:
    """Add labels to a file atomically. A new label replaces an old one of the same frame and target.

    Returns:
        The new content of the file.

    Raises:
        SpotError: the new labels or the file do not fit the videos.
    """
    check_labels(new, sizes, "the new labels")
    table = read_labels(file, sizes).merge(new)
    table.write_csv(file)
    return table
