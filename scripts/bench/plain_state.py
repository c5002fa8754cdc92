"""The sampler state as the published program keeps it, written plainly: what `bench_state.py` compares with.

One indented JSON for everything, parsed whole by every process; sorted lists; a draw that looks at every explored frame.
The published draw by sets of intervals is slower still.
"""

from __future__ import annotations

import bisect
import json
import random
from collections.abc import Iterable
from pathlib import Path

State = dict[str, list[dict[str, list]]]
Result = tuple[str, int, int, list[float], float]
"""Video, number of the target, frame, box, confidence."""


def load(file: Path) -> State:
    with open(file) as opened:
        return json.load(opened)


def dump(state: State, file: Path) -> None:
    with open(file, "w") as opened:
        json.dump(state, opened, indent=4, sort_keys=True)


def merge(state: State, results: Iterable[Result]) -> None:
    """Merge results in order."""
    for name, number, frame, box, confidence in results:
        target = state[name][number]
        place = bisect.bisect(target["relay_frame_ids"], frame)
        rounded = [round(x, 1) for x in box]
        if place == 0 or target["relay_frame_ids"][place - 1] != frame:
            target["relay_frame_ids"].insert(place, frame)
            target["bboxes"].insert(place, rounded)
            target["confidence"].insert(place, confidence)
        elif frame not in target["key_frame_ids"] and confidence > target["confidence"][place - 1]:
            target["bboxes"][place - 1] = rounded
            target["confidence"][place - 1] = confidence


def draw(target: dict[str, list], length: int) -> tuple[int, int, list[list[float]]]:
    """Return a frame, a relay frame, and the coarse boxes of both (propagating step 1)."""
    ids = target["relay_frame_ids"]
    reached = {i + step for i in ids for step in (-1, 1) if 0 <= i + step < length} - set(ids)
    propagates = reached and random.random() > len(ids) / length
    frames = [random.choice(sorted(reached)), random.choice(ids)] if propagates else random.choices(ids, k=2)
    return frames[0], frames[1], [coarse_box(target, frame) for frame in frames]


def coarse_box(target: dict[str, list], frame: int) -> list[float]:
    ids, boxes = target["relay_frame_ids"], target["bboxes"]
    right = min(bisect.bisect(ids, frame), len(ids) - 1)
    left = max(right - 1, 0) if ids[0] <= frame <= ids[-1] else right
    near, far = (left, right) if abs(frame - ids[left]) < abs(frame - ids[right]) else (right, left)
    if not 0 < abs(ids[near] - ids[far]) <= 4:
        return boxes[near]
    weight = abs(ids[far] - frame) / abs(ids[near] - ids[far])
    return [weight * a + (1 - weight) * b for a, b in zip(boxes[near], boxes[far], strict=True)]
