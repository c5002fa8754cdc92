"""The one table of boxes: the user's labels, dense results and all exchange formats are read into it.

As CSV (`video,target,frame,x,y,w,h,absent`, and `score,is_gt` for dense results) it is the home of hand-drawn labels:
`<paths.labels>/<name of the data set>.csv`. A frame number is a 0-based index into the video's manifest; `absent` is 1
where the target cannot be seen, the box is empty then; targets of a video are numbered from 1.

    >>> table = BoxTable.from_rows([("clip", 1, 0, (10, 20, 30, 40)), ("clip", 1, 9, None)])
    >>> print(table.to_csv(), end="")
    video,target,frame,x,y,w,h,absent
    clip,1,0,10,20,30,40,0
    clip,1,9,,,,,1
    >>> BoxTable.parse_csv(table.to_csv(), "labels.csv").absent.tolist()
    [False, True]
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from spot.runtime.atomic_files import replacing
from spot.runtime.csv_cells import cell_text, csv_cell
from spot.runtime.errors import SpotError

COLUMNS = ("video", "target", "frame", "x", "y", "w", "h", "absent")
DENSE_COLUMNS = ("video", "target", "frame", "x", "y", "w", "h", "score", "is_gt", "absent")
DECIMALS = 4  # of coordinates, in the table and in all files
_LARGEST = 1e6  # pixels; no image is so large
Row = tuple[str, int, int, Sequence[float] | None]  # video, target, frame, box or None where absent


@dataclass(frozen=True, eq=False)
class BoxTable:
    """Boxes of targets in frames, a row each, sorted by video, target and frame; no two rows of the same.

    Attributes:
        video: (n,) str, names of videos.
        target: (n,) int64, number of the target in its video, from 1.
        frame: (n,) int64, 0-based index of the frame.
        box: (n, 4) float64 xywh in pixels of the full frame, rounded to 4 decimals; NaN where absent.
        absent: (n,) bool, the target cannot be seen.
        score: (n,) float64 in [0, 1]; 1 for a human's box.
        is_gt: (n,) bool, a human drew the box or said that the target is absent.
    """

    video: np.ndarray
    target: np.ndarray
    frame: np.ndarray
    box: np.ndarray
    absent: np.ndarray
    score: np.ndarray
    is_gt: np.ndarray

    @classmethod
    def build(
        cls,
        video: Sequence[str] | np.ndarray,
        target: Sequence[int] | np.ndarray,
        frame: Sequence[int] | np.ndarray,
        box: Sequence[Sequence[float]] | np.ndarray,
        score: Sequence[float] | np.ndarray | None = None,
        is_gt: Sequence[bool] | np.ndarray | None = None,
    ) -> BoxTable:
        """Make a table from columns in any order; a row with a NaN box is absent.

        Args:
            score: None: 1 everywhere.
            is_gt: None: True everywhere.

        Raises:
            SpotError: two rows for one frame of a target.
        """
        n = len(video)
        boxes = np.round(np.array(box, np.float64).reshape(n, 4), DECIMALS)
        absent = np.isnan(boxes.sum(1))
        boxes[absent] = np.nan
        table = cls(
            np.array(video, str),
            np.array(target, np.int64),
            np.array(frame, np.int64),
            boxes,
            absent,
            np.ones(n) if score is None else np.array(score, np.float64),
            np.ones(n, bool) if is_gt is None else np.array(is_gt, bool),
        )
        table = table.take(np.lexsort((table.frame, table.target, table.video)))
        same = (table.video[1:] == table.video[:-1]) & (table.target[1:] == table.target[:-1])
        if len(twice := np.flatnonzero(same & (table.frame[1:] == table.frame[:-1]))):
            row = twice[0]
            raise SpotError(
                f"{table.video[row]}: target {table.target[row]} has two boxes in frame {table.frame[row]}; remove one"
            )
        return table

    @classmethod
    def from_rows(cls, rows: Iterable[Row]) -> BoxTable:
        """Make a table of human boxes from rows (video, target, frame, box or None where absent)."""
        rows = list(rows)
        boxes = [[np.nan] * 4 if box is None else list(box) for *_, box in rows]
        return cls.build([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], boxes)

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows: np.ndarray) -> BoxTable:
        """Return the rows of these indices, or of this (n,) bool mask."""
        return BoxTable(*(getattr(self, f.name)[rows] for f in fields(self)))

    def of_video(self, name: str) -> BoxTable:
        """Return the rows of one video."""
        return self.take(self.video == name)

    @property
    def keys(self) -> list[tuple[str, int, int]]:
        """(video, target, frame) of every row."""
        return list(zip(self.video.tolist(), self.target.tolist(), self.frame.tolist(), strict=True))

    @property
    def targets(self) -> list[tuple[str, int]]:
        """The (video, target) pairs, ascending."""
        return sorted(set(zip(self.video.tolist(), self.target.tolist(), strict=True)))

    def merge(self, other: BoxTable) -> BoxTable:
        """Return both tables' rows; where both have a frame of a target, the row of `other`."""
        new = set(other.keys)
        kept = self.take(np.array([key not in new for key in self.keys], bool))
        if not len(kept):
            return other
        if not len(other):
            return kept
        joined = [np.concatenate([getattr(t, f.name) for t in (kept, other)]) for f in fields(self)]
        table = BoxTable(*joined)
        return table.take(np.lexsort((table.frame, table.target, table.video)))

    def to_csv(self, dense: bool = False) -> str:
        """Return the table as CSV text, with the columns `score` and `is_gt` if `dense`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(DENSE_COLUMNS if dense else COLUMNS)
        columns = (self.video, self.target, self.frame, self.box, self.absent, self.score, self.is_gt)
        for video, target, frame, box, absent, score, is_gt in zip(*(c.tolist() for c in columns), strict=True):
            row = [csv_cell(video), target, frame, *([""] * 4 if absent else [number(value) for value in box])]
            writer.writerow([*row, *([f"{score:.4f}", int(is_gt)] if dense else []), int(absent)])
        return text.getvalue()

    def write_csv(self, file: str | Path, dense: bool = False) -> None:
        """Write a CSV file atomically. Raise SpotError if it cannot be written."""
        with replacing(file, "choose another folder") as aside:
            aside.write_text(self.to_csv(dense), encoding="utf-8")

    @classmethod
    def read_csv(cls, file: str | Path) -> BoxTable:
        """Read a CSV file of either set of columns. Raise a SpotError that names file and line."""
        try:
            text = Path(file).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise SpotError(f"{file}: {error.strerror}; check the path") from None
        except UnicodeDecodeError:
            raise SpotError(f"{file}: not a text file in UTF-8; save it as CSV in UTF-8") from None
        return cls.parse_csv(text, str(file))

    @classmethod
    def parse_csv(cls, text: str, source: str) -> BoxTable:
        """Read CSV text; `source` names it in errors. Columns may come in any order; `target` may be missing (1)."""
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            columns = rows.fieldnames or []
        except csv.Error as error:
            raise SpotError(f"{source}: not a CSV file ({error}); expected {','.join(COLUMNS)}") from None
        if missing := {"video", "frame", "x", "y", "w", "h"} - set(columns):
            raise SpotError(f"{source}: no column {sorted(missing)[0]}; expected {','.join(COLUMNS)}")
        names, targets, frames, boxes, scores, human = [], [], [], [], [], []
        try:
            for row in rows:
                names.append(_text(cell_text(row["video"] or "")))
                targets.append(int(row.get("target") or 1))
                frames.append(int(row["frame"]))
                boxes.append(_parse_box(row))
                scores.append(float(row.get("score") or 1))
                human.append(bool(int(row.get("is_gt") or (0 if "is_gt" in columns else 1))))
                check_row(targets[-1], frames[-1], boxes[-1], scores[-1])
        except (ValueError, TypeError, csv.Error) as error:
            raise SpotError(f"{source}: line {rows.line_num}: {error}; expected {','.join(COLUMNS)}") from None
        try:
            return cls.build(names, targets, frames, [box or [np.nan] * 4 for box in boxes], scores, human)
        except SpotError as error:
            raise SpotError(f"{source}: {error}") from None


def check_row(target: int, frame: int, box: Sequence[float] | None, score: float) -> None:
    """Check a row that somebody else wrote; `box` xywh, None where the target is absent.

    Raises:
        ValueError: it says what is wrong.
    """
    if not (0 <= frame < 2**31 and 0 <= target < 2**31):
        raise ValueError("numbers of frames and targets are 0 or more, and below 2^31")
    if box is not None and not (len(box) == 4 and (np.abs(box) < _LARGEST).all() and box[2] > 0 and box[3] > 0):
        raise ValueError(f"{','.join(f'{value:g}' for value in box)} is not a box with an area")
    if not 0 <= score <= 1:
        raise ValueError(f"{score:g} is not a score from 0 to 1")


def _text(value: str | None) -> str:
    if not value or any(ord(symbol) < 32 for symbol in value):
        raise ValueError(f"{value!r} is not the name of a video")
    return value


def _parse_box(row: dict[str, str]) -> list[float] | None:
    cells = [(row[side] or "").strip() for side in "xywh"]
    absent = bool(int(row.get("absent") or 0))
    if absent or not any(cells):
        if any(cells) and any(float(cell) for cell in cells if cell):
            raise ValueError("there is a box, but the target is absent")
        if not absent:
            raise ValueError("there is no box, but absent is not 1")
        return None
    return [float(cell) for cell in cells]


def number(value: float, decimals: int = DECIMALS) -> str:
    """Return a number as text without needless zeros."""
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".")
