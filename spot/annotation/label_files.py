"""Labels to and from other tools' files: which format a file has, and its boxes into the CSV of labels."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from spot.annotation.exchange import FORMATS, Labels, export_boxes, import_boxes, video_infos
from spot.data.box_table import BoxTable
from spot.data.datasets.videos import frame_sizes
from spot.data.labels import merge_labels
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError
from spot.runtime.locks import locked


def import_labels(
    videos: VideoSet, path: str, name: str | None, file: Path, labels: Labels | None = None
) -> tuple[BoxTable, int]:
    """Add the boxes of another tool's file to the labels; a new box replaces the old one of its frame and target.

    Boxes that no human drew (predictions that came back from the tool as they went) are no labels. The formats of
    tracks do not tell which keyframe somebody has corrected; there, all keyframes are labels.

    Args:
        path: a file, folder or zip.
        name: its format (`spot.annotation.exchange.FORMATS`); None: as its ending and content tell.
        file: the CSV of labels.
        labels: what the tool's labels mean (`import_boxes`).

    Returns:
        The labels that were read, and the number of boxes that were left out.

    Raises:
        SpotError: the file does not fit the videos or has no human's box, or the label page is open on these labels.
    """
    with locked(file, f"the label file {file}"):
        name = name or guess_format(path)
        found = import_boxes(name, path, video_infos(videos), labels)
        new = found if FORMATS[name].keyframes else found.take(found.is_gt)
        if not len(new):
            raise SpotError(f"import={path}: a human drew none of its {len(found)} boxes; correct some first")
        merge_labels(file, new, frame_sizes(videos))
    return new, len(found) - len(new)


def export_labels(videos: VideoSet, name: str, folder: Path) -> list[Path]:
    """Write the labels in a format of another tool; returns the files. Raise SpotError if there are no labels."""
    if videos.own_labels is None or not len(videos.own_labels):
        raise SpotError(f"{videos.name}: no box is drawn yet, so there is nothing to export")
    return export_boxes(name, videos.own_labels, video_infos(videos), folder)


def guess_format(path: str | Path) -> str:
    """Return the format of a file by its ending and first content. Raise SpotError if these do not tell."""
    path = Path(path)
    if not path.exists():
        raise SpotError(f"import={path}: no such file or folder; check the path")
    readers: dict[str, Callable[[Path], str | None]] = {
        ".csv": lambda _: "csv",
        ".xml": _cvat,
        ".json": _json,
        ".zip": _zip,
    }
    reader = readers.get(path.suffix.lower())
    name = reader(path) if reader else None
    if name is None:
        raise SpotError(f"import={path}: add format=, one of {', '.join(FORMATS)}")
    return name


def _cvat(path: Path) -> str:
    with open(path, "rb") as file:
        return _cvat_kind(file.read(1 << 20))


def _cvat_kind(head: bytes) -> str:
    return "cvat_video" if b"<track" in head else "cvat"


def _json(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SpotError(f"import={path}: not a JSON file ({error}); check it") from None
    if isinstance(content, dict):
        return "coco" if "annotations" in content else None
    return "label_studio_video" if '"videorectangle"' in json.dumps(content) else "label_studio"


def _zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as packed:
            inside = [name for name in packed.namelist() if name.lower().endswith(".xml")]
            if inside:
                with packed.open(inside[0]) as file:
                    return _cvat_kind(file.read(1 << 20))
    except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted, unknown method
        raise SpotError(f"import={path}: not a zip file ({error}); check it") from None
    return None
