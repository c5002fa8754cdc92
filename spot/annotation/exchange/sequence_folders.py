"""The folders of LaSOT and GOT-10k, a folder a target: annotation alone, frames stay where they are.

LaSOT:   <video>/<video>-<target>/groundtruth.txt, full_occlusion.txt, out_of_view.txt
GOT-10k: <video>-<target>/groundtruth.txt, absence.label, cover.label; list.txt

groundtruth.txt has a row x,y,w,h a frame. Where a target is absent it is 0,0,0,0 and flagged; where no row is known it
is nan,nan,nan,nan. Scores, and which boxes a human drew, are in `flags.csv`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spot.annotation.exchange.files import write_text
from spot.annotation.exchange.rows import Rows
from spot.annotation.exchange.video_info import Videos
from spot.data.annotations import drawable, first_frame_alone, fit_rows, parse_flags, parse_table
from spot.data.box_table import BoxTable, number


def write_lasot(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write the layout of LaSOT; an absent target is out of view."""
    written = []
    for (video, target), (boxes, absent) in _tracks(table, videos).items():
        home = folder / video / f"{video}-{target}"
        written.append(write_text(home / "groundtruth.txt", _rows(boxes, absent)))
        written.append(write_text(home / "full_occlusion.txt", ",".join("0" * len(boxes)) + "\n"))
        written.append(write_text(home / "out_of_view.txt", ",".join(str(int(flag)) for flag in absent) + "\n"))
    return written


def write_got10k(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write the layout of GOT-10k."""
    written = []
    tracks = _tracks(table, videos)
    for (video, target), (boxes, absent) in tracks.items():
        home = folder / f"{video}-{target}"
        written.append(write_text(home / "groundtruth.txt", _rows(boxes, absent)))
        written.append(write_text(home / "absence.label", "".join(f"{int(flag)}\n" for flag in absent)))
        written.append(write_text(home / "cover.label", "".join("0\n" if flag else "8\n" for flag in absent)))
    listed = "".join(f"{video}-{target}\n" for video, target in tracks)
    return [*written, write_text(folder / "list.txt", listed)]


def read(rows: Rows) -> None:
    """Read either layout; a folder is called `<video>-<target>`, or `<video>` where there is one target."""
    for name in [n for n in rows.files.ending(".txt") if not n or n.rpartition("/")[2] == "groundtruth.txt"]:
        source = rows.files.place(name)
        home = name.rpartition("/")[0]
        video, target = _name(Path(source).parent.name, rows, source)
        frames = rows.videos[video].frames
        boxes = fit_rows(first_frame_alone(parse_table(rows.files.read(name), source, 4), frames), frames, source)
        absent = np.zeros(frames, bool)
        for flags in ("absence.label", "full_occlusion.txt", "out_of_view.txt"):
            if (file := f"{home}/{flags}".lstrip("/")) in rows.files.names:
                place = rows.files.place(file)
                absent |= fit_rows(parse_flags(rows.files.read(file), place), frames, place) > 0
        for frame in np.flatnonzero(absent | drawable(boxes)).tolist():
            rows.add(video, target, frame, None if absent[frame] else boxes[frame].tolist())


def _tracks(table: BoxTable, videos: Videos) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Return (video, target) -> boxes (n, 4), NaN where there is none, and absent (n,) bool."""
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


def _name(folder: str, rows: Rows, source: str) -> tuple[str, int]:
    video, _, target = folder.rpartition("-")
    if video in rows.videos and target.isdecimal():
        return video, int(target)
    rows.video(folder, source)
    return folder, 1
