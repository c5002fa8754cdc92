"""Choose which frame the teacher labels next (docs/method.md section 4, item 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from spot.state.sampler_state import TargetState


class SampledFrame(NamedTuple):
    """A frame to label, and whether it was unexplored (propagating) or explored (reviewing)."""

    frame: int
    propagated: bool


class FrameSampler(Protocol):
    """Interface of a frame sampler: choose a frame of a target. `rng` is the only source of randomness."""

    def __call__(self, target: TargetState, rng: np.random.Generator) -> SampledFrame: ...


@dataclass(frozen=True)
class ReviewAndPropagate:
    """Draw an explored frame, or an unexplored one near an explored one: the published sampler.

    With probability explored/length the frame is drawn uniformly from the explored frames (reviewing). Else it is
    drawn uniformly from the unexplored frames within `step` of an explored one (propagating). The published rule
    for steps of 2 and more differs: it never explores the frames between explored ones.

    A draw costs the same for short and long videos, and for any number of explored frames.

    Args:
        step: propagating step r in frames; 0 reviews only.
    """

    step: int = 1

    def __call__(self, target: TargetState, rng: np.random.Generator) -> SampledFrame:
        explored = len(target.ids)
        if self.step > 0 and rng.random() >= explored / target.length:
            return SampledFrame(unexplored_neighbour(target, rng, self.step), True)
        return SampledFrame(target.ids.item(below(explored, rng)), False)


def unexplored_neighbour(target: TargetState, rng: np.random.Generator, step: int) -> int:
    """Draw uniformly from the unexplored frames within `step` of an explored one. At least one must exist.

    A gap has `step` slots on each side. Slots are drawn uniformly, as if every gap were long enough. A slot that a
    short gap does not have is drawn again: at most 2 * step tries on average.
    """
    first, last = target.ids.item(0), target.ids.item(-1)
    head, tail = min(first, step), min(target.length - 1 - last, step)
    slots = head + tail + 2 * step * len(target.gaps)
    while True:
        slot = below(slots, rng)
        if slot < head:
            return first - 1 - slot
        if slot < head + tail:
            return last + 1 + slot - head
        gap, offset = divmod(slot - head - tail, 2 * step)
        i = target.gaps.item(gap)
        left, right = target.ids.item(i), target.ids.item(i + 1)
        if offset < right - left - 1:
            return left + 1 + offset if offset < step else right - 1 - (offset - step)


def below(n: int, rng: np.random.Generator) -> int:
    """Draw uniformly from 0..n-1. This is faster than `rng.integers`, and as uniform for any number of frames."""
    return int(rng.random() * n)
