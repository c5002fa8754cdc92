"""Draw an unlabelled instance: frame, coarse box, key frame and relay frame (docs/method.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spot.data.instances import DrawnFrame
from spot.state.nearest_frames import nearest_key
from spot.state.sampler_state import TargetState
from spot.supervision.coarse_boxes import CoarseBoxRule, NearestOrInterpolated
from spot.supervision.frame_sampler import FrameSampler, ReviewAndPropagate
from spot.supervision.relays import RandomRelay, RelayChoice


@dataclass(frozen=True)
class Exploration:
    """Draws unlabelled instances of a target by three rules. The defaults are the published ones.

    Args:
        sampler: chooses the frame to label.
        coarse_box: estimates the target's box in that frame and in the relay frame.
        relay: chooses the frame of the student's template.
    """

    sampler: FrameSampler = field(default_factory=ReviewAndPropagate)
    coarse_box: CoarseBoxRule = field(default_factory=NearestOrInterpolated)
    relay: RelayChoice = field(default_factory=RandomRelay)

    def __call__(self, target: TargetState, rng: np.random.Generator) -> DrawnFrame:
        """Draw one instance; the teacher's template is the nearest key frame with its human box."""
        frame, propagated = self.sampler(target, rng)
        relay = self.relay(target, frame, rng)
        key, key_box = nearest_key(target, frame)
        return DrawnFrame(
            frame, self.coarse_box(target, frame), key, key_box, relay, self.coarse_box(target, relay), propagated
        )
