"""Estimate the target's box in a frame from the explored frames around it (docs/method.md section 4, item 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spot.state.nearest_frames import nearest
from spot.state.sampler_state import TargetState


class CoarseBoxRule(Protocol):
    """Interface of a coarse-box rule: return (4,) float32 xywh in image pixels for any frame of a target."""

    def __call__(self, target: TargetState, frame: int) -> np.ndarray: ...


@dataclass(frozen=True)
class NearestOrInterpolated:
    """Interpolate between the two nearest explored frames, or take the box of the nearer one: the published rule.

    An explored frame gets its own box.

    Args:
        limit: largest distance in frames between two explored frames for interpolation. Between frames farther apart
            the target's motion is not known well enough.
    """

    limit: int = 4

    def __call__(self, target: TargetState, frame: int) -> np.ndarray:
        i, j = nearest(target.ids, frame)
        a, b = target.ids.item(i), target.ids.item(j)
        if not 0 < abs(a - b) <= self.limit:
            return target.box(i)
        weight = abs(b - frame) / abs(a - b)
        return weight * target.box(i) + (1 - weight) * target.box(j)
