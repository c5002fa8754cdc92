"""Drawing frames to explore, and where the target may be in them (METHOD.md section 4, items 1 to 3).

Pure functions of a memory-mapped state. A draw costs the same for short and long videos, whatever is explored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spot.state.sampler_state import SamplerState, TargetState

INTERPOLATION_LIMIT = 4  # explored frames farther apart than this say too little about the frames between them


class Draw(NamedTuple):
    """A frame to label, an explored frame as the student's template, and whether the first was unexplored."""

    frame: int
    relay: int
    propagated: bool


def draw(state: SamplerState, index: int, rng: np.random.Generator, step: int = 1) -> Draw:
    """Draw an unlabelled frame and a relay frame of target `index`.

    With probability explored/length both are drawn from the explored frames, with replacement (reviewing); else
    the first is drawn uniformly from the unexplored frames within `step` of an explored one (propagating). The
    published rule for a step of 2 and more differs: it leaves frames between explored ones unexplored for ever.

    Args:
        rng: the only source of randomness.
        step: propagating step r in frames; 0 reviews only.
    """
    target = state.target(index)
    explored = len(target.ids)
    if step > 0 and rng.random() >= explored / target.length:
        return Draw(_neighbour(target, rng, step), target.ids.item(_below(explored, rng)), True)
    return Draw(target.ids.item(_below(explored, rng)), target.ids.item(_below(explored, rng)), False)


def nearest(ids: np.ndarray, frame: int) -> tuple[int, int]:
    """Positions in sorted `ids` (m,) of the nearest and the second nearest of the two frames around `frame`.

    At equal distance the later frame is the nearest. Beyond the first or the last frame both are that one.
    """
    last = len(ids) - 1
    right = int(ids.searchsorted(ids.dtype.type(frame), side="right"))  # another type would copy `ids`
    if right == 0:
        return 0, 0
    if right > last:
        return last, max(last - 1, 0) if ids.item(last) == frame else last
    left = right - 1
    return (left, right) if frame - ids.item(left) < ids.item(right) - frame else (right, left)


def coarse_box(target: TargetState, frame: int) -> np.ndarray:
    """Where the target may be in a frame: (4,) float32 xywh in image pixels.

    Interpolated between the two nearest explored frames where they are at most four apart, else the box of the
    nearest one; for an explored frame its own.
    """
    i, j = nearest(target.ids, frame)
    a, b = target.ids.item(i), target.ids.item(j)
    if not 0 < abs(a - b) <= INTERPOLATION_LIMIT:
        return target.box(i)
    weight = abs(b - frame) / abs(a - b)
    return weight * target.box(i) + (1 - weight) * target.box(j)


def nearest_key(target: TargetState, frame: int) -> tuple[int, np.ndarray]:
    """The key frame nearest to a frame, the later one at equal distance, and its human box (4,) float32."""
    i, _ = nearest(target.key_ids, frame)
    return target.key_ids.item(i), target.key_boxes[i].copy()


def _neighbour(target: TargetState, rng: np.random.Generator, step: int) -> int:
    """A uniform draw from the unexplored frames within `step` of an explored one; there must be one.

    A gap offers `step` frames a side. Slots are drawn uniformly as if every gap had that many, and refused where
    the gap is shorter: at most 2 * step tries on average.
    """
    first, last = target.ids.item(0), target.ids.item(-1)
    head, tail = min(first, step), min(target.length - 1 - last, step)
    slots = head + tail + 2 * step * len(target.gaps)
    while True:
        slot = _below(slots, rng)
        if slot < head:
            return first - 1 - slot
        if slot < head + tail:
            return last + 1 + slot - head
        gap, offset = divmod(slot - head - tail, 2 * step)
        i = target.gaps.item(gap)
        left, right = target.ids.item(i), target.ids.item(i + 1)
        if offset < right - left - 1:
            return left + 1 + offset if offset < step else right - 1 - (offset - step)


def _below(n: int, rng: np.random.Generator) -> int:
    """A uniform draw from 0..n-1; eight times faster than `rng.integers`, and as even for any number of frames."""
    return int(rng.random() * n)
