"""Boxes to and from the files of other tools, one module a format; all take and give a `spot.data.box_table.BoxTable`.

videos = video_infos(video_set)                        # of data=videos
export_boxes("cvat", table, videos, "out")             # writes files below `out`, gives their names
table = import_boxes("cvat", "annotations.zip", videos)   # a file, a folder or a zip
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spot.annotation.exchange import coco, cvat, label_studio, mot, sequence_folders, yolo
from spot.annotation.exchange.common import Columns, Files, Labels, Videos, checked, video_infos
from spot.data.box_table import BoxTable
from spot.runtime.errors import SpotError

__all__ = ["FORMATS", "Format", "Labels", "Videos", "export_boxes", "import_boxes", "video_infos"]


@dataclass(frozen=True)
class Format:
    """An exchange format.

    Attributes:
        write: (table, videos, folder, **options) -> the files written.
        read: (files, videos, labels, **options) -> table.
        keyframes: tracks are written as few keyframes between which the tool interpolates; `write` then takes `min_iou`
            and `read` takes `dense`.
    """

    write: Callable[..., list[Path]]
    read: Callable[..., BoxTable]
    keyframes: bool = False


def _write_csv(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    checked(table, videos, "export=csv").write_csv(
        folder / "boxes.csv", dense=not (table.is_gt & (table.score == 1)).all()
    )
    return [folder / "boxes.csv"]


def _read_csv(files: Files, videos: Videos, labels: Labels | None = None) -> BoxTable:
    table = Columns().table("")
    for name in files.ending(".csv"):
        table = table.merge(BoxTable.parse_csv(files.text(name), files.place(name)))
    return checked(table, videos, str(files.path))


FORMATS = {
    "csv": Format(_write_csv, _read_csv),
    "cvat": Format(cvat.write_images, cvat.read_images),
    "cvat_video": Format(cvat.write_videos, cvat.read_videos, keyframes=True),
    "label_studio": Format(label_studio.write_images, label_studio.read_images),
    "label_studio_video": Format(label_studio.write_videos, label_studio.read_videos, keyframes=True),
    "coco": Format(coco.write, coco.read),
    "mot": Format(mot.write, mot.read),
    "yolo": Format(yolo.write, yolo.read),
    "lasot": Format(sequence_folders.write_lasot, sequence_folders.read),
    "got10k": Format(sequence_folders.write_got10k, sequence_folders.read),
}


def export_boxes(name: str, table: BoxTable, videos: Videos, folder: str | Path, min_iou: float = 0.95) -> list[Path]:
    """Write a table in a format.

    Args:
        name: one of `FORMATS`.
        min_iou: least IoU of a box and the one that is interpolated between keyframes, for formats with keyframes.

    Raises:
        SpotError: an unknown format, a row that does not fit the videos, or a folder that cannot be written.
    """
    chosen = _format(name, "export")
    options: dict[str, Any] = {"min_iou": min_iou} if chosen.keyframes else {}
    return chosen.write(table, videos, Path(folder), **options)


def import_boxes(
    name: str, path: str | Path, videos: Videos, labels: Labels | None = None, dense: bool = False
) -> BoxTable:
    """Read a file, folder or zip of a format.

    Args:
        labels: what labels other than `target_1`, `target_2`, ... mean: label -> number of the target.
        dense: interpolate between keyframes, for formats with keyframes.

    Raises:
        SpotError: an unknown format, a file of another kind, unknown videos, frames or labels.
    """
    chosen = _format(name, "import")
    options: dict[str, Any] = {"dense": dense} if chosen.keyframes else {}
    return chosen.read(Files(path), videos, labels, **options)


def _format(name: str, option: str) -> Format:
    if name not in FORMATS:
        raise SpotError(f"{option}={name} is unknown; choose from: {', '.join(FORMATS)}")
    return FORMATS[name]
