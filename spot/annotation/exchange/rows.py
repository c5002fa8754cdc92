"""The rows of an import: names of other tools to videos, frames and targets; flags that a format cannot store."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from spot.annotation.exchange.files import Files, write_text
from spot.annotation.exchange.video_info import VideoInfo, Videos
from spot.data.box_table import BoxTable, check_row, number
from spot.data.labels import check_labels
from spot.runtime.csv_cells import cell_text, csv_cell
from spot.runtime.errors import SpotError

LABEL = "target_"  # labels in other tools: target_1, target_2, ...
FLAGS = "flags.csv"  # data that a format cannot store: absence, scores, whether a human drew the box
Labels = Mapping[str, int]  # a label of another tool -> number of the target


class Rows:
    """Collects the rows that a format reads.

    Args:
        files: what is read.
        videos: the videos that it must fit.
        labels: what labels other than `target_1`, `target_2`, ... mean; None: there are no others.
    """

    def __init__(self, files: Files, videos: Videos, labels: Labels | None = None) -> None:
        self.files, self.videos, self.labels = files, videos, labels or {}
        self._rows: list[tuple[str, int, int, Sequence[float], float, bool]] = []

    def add(
        self,
        video: str,
        target: int,
        frame: int,
        box: Sequence[float] | None,
        score: float = 1.0,
        is_gt: bool = True,
    ) -> None:
        """Add a row; `box` xywh, None where the target is absent. Raise SpotError if that is not a row."""
        try:
            check_row(target, frame, box, score)
        except ValueError as error:
            raise SpotError(f"{self.files.path}: {video}, frame {frame}: {error}; correct or remove it") from None
        self._rows.append((video, target, frame, [np.nan] * 4 if box is None else box, score, is_gt))

    def table(self) -> BoxTable:
        """Return all rows, with the flags of `flags.csv` where there is one.

        Raises:
            SpotError: a frame of a target has two rows, or a row does not fit the videos.
        """
        table = _build(self._rows, str(self.files.path))
        return checked(_apply_flags(table, self.files), self.videos, str(self.files.path))

    def frame_of(self, image: str, source: str) -> tuple[str, int]:
        """Return the (video, frame) that an image name of another tool means: its last two parts count.

        Raises:
            SpotError: there is no such frame.
        """
        parts = image.replace("\\", "/").split("?d=")[-1].strip("/").split("/")
        found = self._images.get("/".join(parts[-2:]))
        if found is None:
            known = next(iter(self._images), "video/000000.jpg")
            raise SpotError(f"{source}: unknown frame {image}; frames are called {known}")
        return found

    def video(self, name: str, source: str) -> VideoInfo:
        """Return the video of that name. Raise SpotError if there is none."""
        if name not in self.videos:
            known = ", ".join(list(self.videos)[:3])
            raise SpotError(f"{source}: unknown video {name}; the videos are called {known}")
        return self.videos[name]

    def target(self, label: str, source: str) -> int:
        """Return the target that a label means. Raise SpotError for an unknown one."""
        if label in self.labels:
            return self.labels[label]
        digits = label.removeprefix(LABEL)
        if label.startswith(LABEL) and digits.isdecimal() and digits.isascii():
            return int(digits)
        raise SpotError(f"{source}: unknown label {label}; rename it to {LABEL}1, or add names={{{label}:1}}")

    @cached_property
    def _images(self) -> dict[str, tuple[str, int]]:
        """File name of every frame, with and without its ending -> (video, frame)."""
        places: dict[str, tuple[str, int]] = {}
        for name, info in self.videos.items():
            for frame in range(info.frames):
                image = info.image(frame)
                places[image] = places[os.path.splitext(image)[0]] = (name, frame)
        return places


def checked(table: BoxTable, videos: Videos, source: str) -> BoxTable:
    """Return the table, if all its rows fit the videos. Raise SpotError otherwise."""
    check_labels(table, {name: (v.frames, v.width, v.height) for name, v in videos.items()}, source)
    return table


def write_flags(table: BoxTable, folder: Path) -> list[Path]:
    """Write `flags.csv` with the rows that are absent or not drawn by a human; no file if there are no such rows."""
    rows = table.take(table.absent | ~table.is_gt | (table.score != 1))
    if not len(rows):
        return []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("video", "target", "frame", "score", "is_gt", "absent"))
    columns = (rows.video, rows.target, rows.frame, rows.score, rows.is_gt, rows.absent)
    for video, target, frame, score, is_gt, absent in zip(*(c.tolist() for c in columns), strict=True):
        writer.writerow((csv_cell(video), target, frame, number(score), int(is_gt), int(absent)))
    return [write_text(folder / FLAGS, text.getvalue())]


def _apply_flags(table: BoxTable, files: Files) -> BoxTable:
    name = next((n for n in files.names if n.rpartition("/")[2] == FLAGS), None)
    if name is None:
        return table
    known = {key: row for row, key in enumerate(table.keys)}
    score, is_gt = table.score.copy(), table.is_gt.copy()
    absent = []
    try:
        for row in csv.DictReader(io.StringIO(files.text(name), newline="")):
            key = (cell_text(row["video"]), int(row["target"]), int(row["frame"]))
            flags = float(row["score"]), bool(int(row["is_gt"]))
            check_row(*key[1:], None, flags[0])
            if int(row["absent"]):
                absent.append((*key, [np.nan] * 4, *flags))
            elif key in known:
                score[known[key]], is_gt[known[key]] = flags
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise SpotError(
            f"{files.place(name)}: damaged ({error}); delete it to import the boxes without flags"
        ) from None
    return replace(table, score=score, is_gt=is_gt).merge(_build(absent, files.place(name)))


def _build(rows: Sequence[tuple], source: str) -> BoxTable:
    try:
        return BoxTable.build(*([row[i] for row in rows] for i in range(6)))
    except SpotError as error:
        raise SpotError(f"{source}: {error}") from None
