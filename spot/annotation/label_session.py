"""The data of the label page: frames to label, boxes, progress. Every change is on disk before the call returns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from spot.data.box_table import BoxTable
from spot.data.frames_to_label import Frame
from spot.data.labels import Sizes, read_labels
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError
from spot.runtime.locks import locked

Key = tuple[str, int, int]  # video, target, frame
MOST_TARGETS = 9  # number keys


class LabelSession:
    """The labels of a set of videos while they are drawn. One at a time: the file is locked until `close`.

    Args:
        videos: the videos.
        sizes: frames, width and height of each.
        chosen: (video, target, frame) that wait for a label.
        file: CSV of labels (`spot.data.box_table`); read if it is there, written at every change.

    Raises:
        SpotError: another session uses the file, it cannot be written, or its labels do not fit the videos.
    """

    def __init__(self, videos: VideoSet, sizes: Sizes, chosen: Sequence[Frame], file: Path) -> None:
        self.videos, self.sizes, self.file = videos, sizes, file
        self.chosen = list(chosen)
        self._lock = ExitStack()
        self._lock.enter_context(locked(file, f"the label file {file}"))
        try:
            table = read_labels(file, sizes)
        except SpotError:
            self.close()
            raise
        self.rows: dict[Key, list[float] | None] = {
            (video, target, frame): None if absent else box
            for video, target, frame, box, absent in zip(
                *(getattr(table, name).tolist() for name in ("video", "target", "frame", "box", "absent")), strict=True
            )
        }

    def close(self) -> None:
        """Release the lock, so that another session can label."""
        self._lock.close()

    def put(self, video: str, target: int, frame: int, box: Sequence[float] | None) -> list[float] | None:
        """Set a label and write the file.

        Args:
            video, target, frame: whose; targets count from 1, frames from 0.
            box: xywh in image pixels, cut at the image's border; None: the target is absent.

        Returns:
            The box as it was written.

        Raises:
            SpotError: no such video or frame, no area inside the image, or the file cannot be written; the labels are
                as before.
        """
        if video not in self.sizes or not 1 <= target <= MOST_TARGETS or not 0 <= frame < self.sizes[video][0]:
            raise SpotError(f"no target {target} in frame {frame} of {video}")
        cut = None if box is None else _cut(box, self.sizes[video][1:])
        self._write({**self.rows, (video, target, frame): cut})
        return cut

    def remove(self, video: str, target: int, frame: int) -> None:
        """Take a label back. Raise SpotError if the file cannot be written."""
        self._write({key: box for key, box in self.rows.items() if key != (video, target, frame)})

    def project(self) -> dict[str, Any]:
        """Return all that the page shows, as JSON: videos with their frames to label, and labels."""
        videos = []
        for index, (name, (count, width, height)) in enumerate(self.sizes.items()):
            labels: list[dict[str, Any]] = [
                {"target": target, "frame": frame, "box": box}
                for (video, target, frame), box in self.rows.items()
                if video == name
            ]
            listed = [(target, frame) for video, target, frame in self.chosen if video == name]
            tasks = sorted({*(frame for _, frame in listed), *(label["frame"] for label in labels)})
            videos.append(
                {
                    "index": index,
                    "name": name,
                    "count": count,
                    "width": width,
                    "height": height,
                    "tasks": tasks,
                    "targets": sorted({1, *(target for target, _ in listed)}),
                    "labels": labels,
                }
            )
        return {"name": self.videos.name, "videos": videos}

    def progress(self) -> tuple[int, int]:
        """Return how many frames have a label of some target, and how many are labelled or chosen."""
        labelled = {(video, frame) for video, _, frame in self.rows}
        chosen = {(video, frame) for video, _, frame in self.chosen} | labelled
        return len(labelled & chosen), len(chosen)

    def _write(self, rows: dict[Key, list[float] | None]) -> None:
        BoxTable.from_rows((*key, box) for key, box in rows.items()).write_csv(self.file)
        self.rows = rows


def _cut(box: Sequence[float], size: Sequence[int]) -> list[float]:
    values = np.asarray(box, np.float64)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise SpotError(f"{list(box)} is not a box x, y, w, h")
    width, height = size
    low = np.clip(values[:2], 0, [width, height])
    high = np.clip(values[:2] + values[2:], 0, [width, height])
    if ((high - low) < 1).any():
        raise SpotError("the box covers less than one pixel of the image")
    return [round(float(value), 2) for value in (*low, *(high - low))]
