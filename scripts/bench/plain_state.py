"""The sampler state as the published program keeps it, written plainly: what `bench_state.py` compares with.

One indented JSON for everything, parsed whole by every process; lists searched by bisection; a propagating draw by sets
of intervals. Faults that METHOD.md section 9 lists are kept where they cost time and left out where they do not.
"""

from __future__ import annotations

import bisect
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

try:
    import part
except ImportError:
    part = None

State = dict[str, list[dict[str, list]]]


class Mark(NamedTuple):
    """An end of an interval: a value, and whether the end lies before (-1), at (0) or after (1) it."""

    value: Any
    side: int


@dataclass(frozen=True, slots=True)
class Interval:
    """Everything from one mark to another, both included."""

    lower: Mark
    upper: Mark

    @classmethod
    def of(cls, lower: Any, upper: Any, lower_closed: bool, upper_closed: bool) -> Interval:
        return cls(Mark(lower, 0 if lower_closed else 1), Mark(upper, 0 if upper_closed else -1))

    def __bool__(self) -> bool:
        return self.lower <= self.upper

    def meets(self, other: Interval) -> bool:
        """Whether they overlap or touch, so that their union is one interval."""
        return self.lower <= after(other.upper) and other.lower <= after(self.upper)

    def __and__(self, other: Interval) -> Interval:
        return Interval(max(self.lower, other.lower), min(self.upper, other.upper))

    def __or__(self, other: Interval) -> Interval:
        return Interval(min(self.lower, other.lower), max(self.upper, other.upper))


def after(mark: Mark) -> Mark:
    return Mark(mark.value, mark.side + 1)


def before(mark: Mark) -> Mark:
    return Mark(mark.value, mark.side - 1)


class IntervalSet:
    """Disjoint intervals in order."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.intervals: list[Interval] = []
        for interval in intervals:
            self.add(interval)

    def add(self, interval: Interval) -> None:
        start = bisect.bisect_left(self.intervals, interval.lower, key=lambda i: after(i.upper))
        stop = start
        while stop < len(self.intervals) and self.intervals[stop].meets(interval):
            interval = interval | self.intervals[stop]
            stop += 1
        self.intervals[start:stop] = [interval]

    def overlapping(self, interval: Interval) -> list[Interval]:
        start = bisect.bisect_left(self.intervals, interval.lower, key=lambda i: i.upper)
        found = []
        while start < len(self.intervals) and self.intervals[start].lower <= interval.upper:
            found.append(self.intervals[start])
            start += 1
        return found

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    def __and__(self, other: IntervalSet) -> IntervalSet:
        return IntervalSet(mine & its for mine in self for its in other.overlapping(mine))

    def __sub__(self, other: IntervalSet) -> IntervalSet:
        left = []
        for mine in self:
            lower = mine.lower
            for its in other.overlapping(mine):
                if piece := Interval(lower, before(its.lower)):
                    left.append(piece)
                lower = after(its.upper)
            if piece := Interval(lower, mine.upper):
                left.append(piece)
        return IntervalSet(left)


def unexplored_ranges(ids: list[int], length: int) -> list[tuple[int, int]]:
    """First and last frame of each stretch of unexplored frames next to an explored one (step 1).

    By the package that the published program uses (`py-part`) where it is installed, else by the sets above, which are
    two to three times faster.
    """
    if part is None:
        explored = IntervalSet(Interval.of(i, i, True, True) for i in ids)
        reached = IntervalSet(Interval.of(i - 1, i + 1, True, True) for i in ids)
        inside = IntervalSet([Interval.of(0, length - 1, True, True)])
        ends = [
            (i.lower.value, not i.lower.side, i.upper.value, not i.upper.side) for i in (reached & inside) - explored
        ]
    else:
        explored = part.FrozenIntervalSet([(i, i, True, True) for i in ids])
        reached = part.FrozenIntervalSet([(i - 1, i + 1, True, True) for i in ids])
        inside = part.FrozenIntervalSet([(0, length - 1, True, True)])
        left = reached.intersection(inside).difference(explored)
        ends = [(i.lower_value, i.lower_closed, i.upper_value, i.upper_closed) for i in left]
    stretches = ((lower + (not closed), upper - (not shut)) for lower, closed, upper, shut in ends)
    return [(first, last) for first, last in stretches if first <= last]


def draw(path: dict[str, list], length: int) -> tuple[int, int, list[list[float]]]:
    """A frame, a relay frame, and the coarse boxes of both."""
    ids = path["relay_frame_ids"]
    stretches = unexplored_ranges(ids, length) if random.random() > len(ids) / length else []
    if stretches:
        first, last = random.choices(stretches, [last - first + 1 for first, last in stretches])[0]
        frames = [random.choice(range(first, last + 1)), random.choice(ids)]
    else:
        frames = random.choices(ids, k=2)
    return frames[0], frames[1], [coarse_box(path, frame) for frame in frames]


def coarse_box(path: dict[str, list], frame: int) -> list[float]:
    ids, boxes = path["relay_frame_ids"], path["bboxes"]
    right = min(bisect.bisect(ids, frame), len(ids) - 1)
    left = max(right - 1, 0) if ids[0] <= frame <= ids[-1] else right
    near, far = (left, right) if abs(frame - ids[left]) < abs(frame - ids[right]) else (right, left)
    near_box, far_box = boxes[ids.index(ids[near])], boxes[ids.index(ids[far])]
    if not 0 < abs(ids[near] - ids[far]) <= 4:
        return near_box
    weight = abs(ids[far] - frame) / abs(ids[near] - ids[far])
    return [weight * a + (1 - weight) * b for a, b in zip(near_box, far_box, strict=True)]


def load(file: Path) -> State:
    with open(file) as opened:
        return json.load(opened)


def merge(state: State, results: Iterable[tuple[str, int, int, list[float], float]]) -> None:
    """Merge (video, path number, frame, box, confidence), in order."""
    for name, number, frame, box, confidence in results:
        path = state[name][number]
        place = bisect.bisect(path["relay_frame_ids"], frame)
        rounded = [round(x, 1) for x in box]
        if place == 0 or path["relay_frame_ids"][place - 1] != frame:
            path["relay_frame_ids"].insert(place, frame)
            path["bboxes"].insert(place, rounded)
            path["confidence"].insert(place, confidence)
        elif frame not in path["key_frame_ids"] and confidence > path["confidence"][place - 1]:
            path["bboxes"][place - 1] = rounded
            path["confidence"][place - 1] = confidence


def dump(state: State, file: Path) -> None:
    with open(file, "w") as opened:
        json.dump(state, opened, indent=4, sort_keys=True)
