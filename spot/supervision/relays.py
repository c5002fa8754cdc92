"""Choose the frame that the student's template is cut from (docs/method.md section 4, item 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spot.state.nearest_frames import nearest_key
from spot.state.sampler_state import TargetState
from spot.supervision.frame_sampler import below


class RelayChoice(Protocol):
    """Interface of a relay choice: return an explored frame of the target, given the frame that is labelled."""

    def __call__(self, target: TargetState, frame: int, rng: np.random.Generator) -> int: ...


@dataclass(frozen=True)
class RandomRelay:
    """Draw the relay frame uniformly from the explored frames: the published choice (transitive consistency)."""

    def __call__(self, target: TargetState, frame: int, rng: np.random.Generator) -> int:
        return target.ids.item(below(len(target.ids), rng))


@dataclass(frozen=True)
class KeyFrameRelay:
    """Take the teacher's key frame (no transitive consistency)."""

    def __call__(self, target: TargetState, frame: int, rng: np.random.Generator) -> int:
        rng.random()  # as many draws as RandomRelay, so that all other draws of the run are the same
        return nearest_key(target, frame)[0]


def relay_choice(relay_template: bool) -> RelayChoice:
    """Make the choice that `exploration.relay_template` names: an explored frame (true) or the key frame (false)."""
    return RandomRelay() if relay_template else KeyFrameRelay()
