"""Dense tracks as few keyframes, between which other tools interpolate linearly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spot.annotation.exchange.rows import Rows
from spot.data.box_table import BoxTable
from spot.data.boxes import box_iou
from spot.runtime.errors import SpotError

LONGEST = 1000  # frames between two keyframes, at most


def stretches(frames: np.ndarray, visible: np.ndarray) -> Iterator[slice]:
    """Slices of rows of one target that are visible in frame after frame, from frames (n,) and visible (n,)."""
    start = 0
    for row in range(1, len(frames) + 1):
        apart = row == len(frames) or frames[row] != frames[row - 1] + 1 or not (visible[row] and visible[row - 1])
        if apart:
            if visible[start]:
                yield slice(start, row)
            start = row


def choose_keyframes(boxes: np.ndarray, fixed: np.ndarray, min_iou: float = 0.95) -> np.ndarray:
    """Choose the smallest set of frames whose linear interpolation stays close to every box.

    A shortest path: an edge joins two frames if all boxes between them are met. The first and the last frame and those
    that are `fixed` are always chosen; no two neighbours are more than 1,000 frames apart.

    Args:
        boxes: (n, 4) xywh of consecutive frames.
        fixed: (n,) bool, frames that must be chosen (human boxes).
        min_iou: least IoU of a box and the interpolated one.

    Returns:
        (k,) int64 indices, ascending.

    >>> boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [2, 0, 10, 10], [9, 0, 10, 10]])
    >>> choose_keyframes(boxes, np.zeros(4, bool)).tolist()
    [0, 2, 3]
    """
    boxes = np.asarray(boxes, np.float64)
    stops = np.unique(np.concatenate([[0], np.flatnonzero(fixed), [len(boxes) - 1]]))
    parts = [first + _shortest(boxes[first : last + 1], min_iou)[:-1] for first, last in itertools.pairwise(stops)]
    return np.concatenate([*parts, stops[-1:]]).astype(np.int64)


def _shortest(boxes: np.ndarray, min_iou: float) -> np.ndarray:
    """Return the fewest frames from the first to the last, both included: breadth-first search."""
    n = len(boxes)
    before = np.full(n, -1)
    before[0], level = 0, [0]
    while before[-1] < 0:
        reached = []
        for i in reversed(level):  # far frames first: the others rarely reach anything new
            new = i + 1 + np.flatnonzero(before[i + 1 : i + 1 + LONGEST] < 0)
            for j in new[_reachable(boxes[i:], new - i, min_iou)].tolist() if len(new) else ():
                if _met(boxes[i : j + 1], min_iou):
                    before[j] = i
                    reached.append(j)
        level = sorted(reached)
    path = [n - 1]
    while path[-1]:
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])


def _reachable(boxes: np.ndarray, ends: np.ndarray, min_iou: float) -> np.ndarray:
    """Return (m,) bool: which of the ascending ends (m,) a line from the first box can reach and meet all boxes between.

    An IoU of at least t moves no edge by more than (1 / t - 1) times the side, which bounds each edge's slope. The test
    may let pass too many, never too few.
    """
    count = 32
    while True:  # boxes are looked at until the bounds exclude everything beyond
        part = boxes[: min(count, int(ends[-1]) + 1)]
        edges = np.concatenate([part[:, :2], part[:, :2] + part[:, 2:]], 1)
        slack = np.tile(part[1:, 2:], 2) * (1 / min_iou - 1) + 1e-9
        distance = np.arange(1, len(part))[:, None]
        change = edges[1:] - edges[0]
        low = np.maximum.accumulate((change - slack) / distance)
        high = np.minimum.accumulate((change + slack) / distance)
        if len(part) > ends[-1] or (low[-1] > high[-1]).any():
            break
        count *= 2
    slope = change / distance
    inside = np.concatenate([[True], ((slope[1:] >= low[:-1]) & (slope[1:] <= high[:-1])).all(1)])
    looked_at = ends < len(part)
    return looked_at & inside[np.minimum(ends, len(part) - 1) - 1]


def _met(boxes: np.ndarray, min_iou: float) -> bool:
    """Return whether the line from the first to the last box meets all boxes between them."""
    return bool((box_iou(interpolate(boxes[0], boxes[-1], len(boxes)), boxes) >= min_iou).all())


def interpolate(first: np.ndarray, last: np.ndarray, count: int) -> np.ndarray:
    """Return (count, 4) boxes from `first` to `last` in equal steps, both included."""
    weight = np.linspace(0, 1, count)[:, None]
    return (1 - weight) * first + weight * last


@dataclass(frozen=True)
class Event:
    """What a tool for videos keeps of a track in one frame.

    Attributes:
        frame: 0-based index.
        box: (4,) xywh, None where the target is absent from here on.
        score, is_gt: as in `BoxTable`.
        ends: the track has no rows from here on, neither a box nor an absence.
    """

    frame: int
    box: list[float] | None
    score: float = 1.0
    is_gt: bool = True
    ends: bool = False


def events_of(track: BoxTable, frames: int, min_iou: float) -> list[Event]:
    """Return the events of one target of one video of `frames` frames, ascending.

    They are the keyframes of each stretch of visible rows (`choose_keyframes`, human boxes among them), the first frame
    of each absence and human absences, and an end behind each stretch that a gap without rows follows.
    """
    visible = ~track.absent
    kept = dict.fromkeys(np.flatnonzero(track.absent & track.is_gt).tolist())
    for part in stretches(track.frame, visible):
        chosen = choose_keyframes(track.box[part], track.is_gt[part], min_iou)
        kept.update(dict.fromkeys((part.start + chosen).tolist()))
    for row in np.flatnonzero(track.absent).tolist():
        if row == 0 or visible[row - 1] or track.frame[row - 1] != track.frame[row] - 1:
            kept[row] = None
    boxes = track.box.tolist()
    events = [
        Event(
            int(track.frame[row]),
            boxes[row] if visible[row] else None,
            float(track.score[row]),
            bool(track.is_gt[row]),
        )
        for row in sorted(kept)
    ]
    present = set(track.frame.tolist())
    ends = [Event(f + 1, None, ends=True) for f in present if f + 1 < frames and f + 1 not in present]
    return sorted([*events, *ends], key=lambda event: event.frame)


def add_events(rows: Rows, video: str, target: int, events: Sequence[Event], dense: bool) -> None:
    """Add the rows of a track: those of its events, or if `dense` of all frames up to its last event.

    Between two boxes all is interpolated linearly; before an absence or an end the last box stays as it is.

    Raises:
        SpotError: the video has no such frame, or a box has no area.
    """
    ordered = sorted(events, key=lambda event: event.frame)
    frames = rows.videos[video].frames
    if beyond := [event.frame for event in ordered if not 0 <= event.frame < frames]:
        raise SpotError(f"{rows.files.path}: {video} has no frame {beyond[0]}; its {frames} frames are numbered from 0")
    for event, following in zip(ordered, [*ordered[1:], None], strict=True):
        if event.ends:
            continue
        rows.add(video, target, event.frame, event.box, event.score, event.is_gt)
        if not dense or following is None:
            continue
        count = following.frame - event.frame + 1
        last = following if following.box is not None and event.box is not None else event
        scores = np.linspace(event.score, last.score, count).tolist()
        boxes: list = [None] * count
        if event.box is not None and last.box is not None:
            boxes = interpolate(np.array(event.box), np.array(last.box), count).tolist()
        for step in range(1, count - 1):
            rows.add(video, target, event.frame + step, boxes[step], scores[step], is_gt=False)
