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
from spot.annotation.exchange.files import Files, reading
from spot.annotation.exchange.rows import Labels, Rows, checked, write_flags
from spot.annotation.exchange.video_info import VideoInfo, Videos, video_infos
from spot.data.box_table import BoxTable
from spot.runtime.errors import SpotError

__all__ = ["FORMATS", "Format", "Labels", "VideoInfo", "Videos", "export_boxes", "import_boxes", "video_infos"]


@dataclass(frozen=True)
class Format:
    """An exchange format.

    Attributes:
        kind: what its files are called in messages.
        write: (table, videos, folder, **options) -> the files written.
        read: (rows, **options): adds what `rows.files` hold to the rows.
        keyframes: tracks are written as few keyframes between which the tool interpolates; `write` then takes `min_iou`
            and `read` takes `dense`.
        flags: the format cannot store absence and scores; they go to `flags.csv`.
    """

    kind: str
    write: Callable[..., list[Path]]
    read: Callable[..., None]
    keyframes: bool = False
    flags: bool = False


def _write_csv(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    table.write_csv(folder / "boxes.csv", dense=not (table.is_gt & (table.score == 1)).all())
    return [folder / "boxes.csv"]


def _read_csv(rows: Rows) -> None:
    table = BoxTable.from_rows([])
    for name in rows.files.ending(".csv"):
        table = table.merge(BoxTable.parse_csv(rows.files.text(name), rows.files.place(name)))
    columns = (table.keys, table.box.tolist(), table.absent.tolist(), table.score.tolist(), table.is_gt.tolist())
    for key, box, absent, score, is_gt in zip(*columns, strict=True):
        rows.add(*key, None if absent else box, score, is_gt)


FORMATS = {
    "csv": Format("a CSV file", _write_csv, _read_csv),
    "cvat": Format("a CVAT file", cvat.write_images, cvat.read_images),
    "cvat_video": Format("a CVAT file", cvat.write_videos, cvat.read_videos, keyframes=True),
    "label_studio": Format("an export of Label Studio", label_studio.write_images, label_studio.read_images),
    "label_studio_video": Format(
        "an export of Label Studio", label_studio.write_videos, label_studio.read_videos, keyframes=True
    ),
    "coco": Format("a COCO file", coco.write, coco.read),
    "mot": Format("a MOT file", mot.write, mot.read, flags=True),
    "yolo": Format("a folder of YOLO labels", yolo.write, yolo.read, flags=True),
    "lasot": Format("a folder of LaSOT", sequence_folders.write_lasot, sequence_folders.read, flags=True),
    "got10k": Format("a folder of GOT-10k", sequence_folders.write_got10k, sequence_folders.read, flags=True),
}


def export_boxes(name: str, table: BoxTable, videos: Videos, folder: str | Path, min_iou: float = 0.95) -> list[Path]:
    """Write a table in a format.

    Args:
        name: one of `FORMATS`.
        min_iou: least IoU of a box and the one that is interpolated between keyframes, for formats with keyframes.

    Raises:
        SpotError: an unknown format, a row that does not fit the videos, or a folder that cannot be written.
    """
    chosen, folder = _format(name, "export"), Path(folder)
    options: dict[str, Any] = {"min_iou": min_iou} if chosen.keyframes else {}
    written = chosen.write(checked(table, videos, f"export={name}"), videos, folder, **options)
    return [*written, *write_flags(table, folder)] if chosen.flags else written


def import_boxes(
    name: str, path: str | Path, videos: Videos, labels: Labels | None = None, dense: bool = False
) -> BoxTable:
    """Read a file, folder or zip of a format.

    Args:
        labels: what labels other than `target_1`, `target_2`, ... mean: label -> number of the target.
        dense: give a row to every frame between keyframes, for formats with keyframes; otherwise to keyframes alone.

    Raises:
        SpotError: an unknown format, a file of another kind or without a box, unknown videos, frames or labels, a broken row.
    """
    chosen, rows = _format(name, "import"), Rows(Files(path), videos, labels)
    with reading(rows.files, chosen.kind):
        chosen.read(rows, **({"dense": dense} if chosen.keyframes else {}))
        table = rows.table()
    if not len(table):
        raise SpotError(f"{path}: no box is found; expected {chosen.kind}")
    return table


def _format(name: str, option: str) -> Format:
    if name not in FORMATS:
        raise SpotError(f"{option}={name} is unknown; choose from: {', '.join(FORMATS)}")
    return FORMATS[name]
