"""The folders of LaSOT and GOT-10k, a folder a target: annotation alone, frames stay where they are.

LaSOT:   <video>/<video>-<target>/groundtruth.txt, full_occlusion.txt, out_of_view.txt
GOT-10k: <video>-<target>/groundtruth.txt, absence.label, cover.label; list.txt

groundtruth.txt has a row x,y,w,h a frame. Where a target is absent it is 0,0,0,0 and flagged; where no row is known it
is nan,nan,nan,nan. Scores, and which boxes a human drew, are in `flags.csv`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.annotation.exchange.common import (
    Columns,
    Files,
    Labels,
    Videos,
    apply_flags,
    checked,
    info_of,
    number,
    write_flags,
    write_text,
)
from spot.data.annotations import drawable, fit_rows, parse_flags, parse_table
from spot.data.box_table import BoxTable


def write_lasot(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write the layout of LaSOT; an absent target is out of view."""
    written = []
    for (video, target), (boxes, absent) in _tracks(table, videos, "export=lasot").items():
        home = folder / video / f"{video}-{target}"
        written.append(write_text(home / "groundtruth.txt", _rows(boxes, absent)))
        written.append(write_text(home / "full_occlusion.txt", ",".join("0" * len(boxes)) + "\n"))
        written.append(write_text(home / "out_of_view.txt", ",".join(str(int(flag)) for flag in absent) + "\n"))
    return [*written, *write_flags(table, folder)]


def write_got10k(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write the layout of GOT-10k."""
    written = []
    tracks = _tracks(table, videos, "export=got10k")
    for (video, target), (boxes, absent) in tracks.items():
        home = folder / f"{video}-{target}"
        written.append(write_text(home / "groundtruth.txt", _rows(boxes, absent)))
        written.append(write_text(home / "absence.label", "".join(f"{int(flag)}\n" for flag in absent)))
        written.append(write_text(home / "cover.label", "".join("0\n" if flag else "8\n" for flag in absent)))
    listed = "".join(f"{video}-{target}\n" for video, target in tracks)
    return [*written, write_text(folder / "list.txt", listed), *write_flags(table, folder)]


def read(files: Files, videos: Videos, labels: Labels | None = None) -> BoxTable:
    """Read either layout; a folder is called `<video>-<target>`, or `<video>` where there is one target.

    Raises:
        SpotError: unknown videos, or files that do not fit the video's number of frames.
    """
    columns = Columns()
    for name in [n for n in files.ending(".txt") if not n or n.rpartition("/")[2] == "groundtruth.txt"]:
        source = files.place(name)
        home = name.rpartition("/")[0]
        video, target = _name(Path(source).parent.name, videos, source)
        boxes = parse_table(files.read(name), source, 4)
        frames = videos[video].frames
        if len(boxes) == 1 and frames > 1:
            boxes = np.concatenate([boxes, np.full((frames - 1, 4), np.nan)])
        fit_rows(boxes, frames, source)
        absent = np.zeros(frames, bool)
        for flags in ("absence.label", "full_occlusion.txt", "out_of_view.txt"):
            if (file := f"{home}/{flags}".lstrip("/")) in files.names:
                absent |= fit_rows(parse_flags(files.read(file), files.place(file)), frames, files.place(file)) > 0
        for frame in np.flatnonzero(absent | drawable(boxes)).tolist():
            columns.add(video, target, frame, None if absent[frame] else boxes[frame].tolist())
    return checked(apply_flags(columns.table(str(files.path)), files), videos, str(files.path))


def _tracks(table: BoxTable, videos: Videos, source: str) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Return (video, target) -> boxes (n, 4), NaN where there is none, and absent (n,) bool."""
    checked(table, videos, source)
    tracks = {}
    for video, target in table.targets:
        rows = table.take((table.video == video) & (table.target == target))
        boxes, absent = np.full((videos[video].frames, 4), np.nan), np.zeros(videos[video].frames, bool)
        boxes[rows.frame], absent[rows.frame] = rows.box, rows.absent
        tracks[video, target] = boxes, absent
    return tracks


def _rows(boxes: np.ndarray, absent: np.ndarray) -> str:
    lines = []
    for box, gone in zip(boxes.tolist(), absent.tolist(), strict=True):
        lines.append("0,0,0,0\n" if gone else "nan,nan,nan,nan\n" if box[0] != box[0] else _line(box))
    return "".join(lines)


def _line(box: list[float]) -> str:
    return ",".join(number(value) for value in box) + "\n"


def _name(folder: str, videos: Videos, source: str) -> tuple[str, int]:
    video, _, target = folder.rpartition("-")
    if video in videos and target.isdecimal():
        return video, int(target)
    info_of(folder, videos, source)
    return folder, 1
