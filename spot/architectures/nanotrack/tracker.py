"""NanoTrack on video, by the rule of the published Python program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork, hann_window
from spot.architectures.ocean.tracker import change_penalty, context_side
from spot.architectures.subwindow import mean_colour, subwindows
from spot.architectures.tracker import Tracker, TrackState, move_to

MIN_SIZE = 10.0  # least width and height of a box, image pixels


class NanoTracker(Tracker):
    """Take the best cell after penalties for changes of size and aspect; smooth the target's size.

    Args:
        network: on the device on which it shall run.
        context: fraction of w + h added to each side before a crop (context_amount).
        penalty: strength of the penalty (penalty_k).
        window: weight of the Hann window against the penalised scores (window_influence).
        learning_rate: of the size, times the penalised score (lr).
    """

    def __init__(
        self,
        network: TrackerNetwork,
        context: float = 0.5,
        penalty: float = 0.15,
        window: float = 0.49,
        learning_rate: float = 0.385,
    ) -> None:
        super().__init__(network)
        self.context, self.penalty = context, penalty
        self.window_weight, self.learning_rate = window, learning_rate
        self.window = hann_window(network.grid).double().numpy()

    @torch.inference_mode()
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """See `Tracker.start`."""
        boxes = np.asarray(boxes, np.float64)
        sizes = boxes[:, 2:]
        # The published tracker takes the centre of the pixels here, and of the area in `step`.
        state = TrackState((), boxes[:, :2] + (sizes - 1) / 2, sizes, np.stack([mean_colour(f) for f in frames]))
        sides = np.rint(context_side(sizes, self.context))
        crops = self._crops(state, frames, sides, self.network.template_size)
        return self._with_template(state, crops, sides)

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score is the target probability of the best cell, before penalty and window."""
        template_side = context_side(state.sizes, self.context)
        scale = (self.network.template_size / template_side)[:, None]  # crop pixels per image pixel
        sides = np.rint(template_side * self.network.search_size / self.network.template_size)
        crops = self._crops(state, frames, sides, self.network.search_size)
        boxes, scores = self._all_cells(state, crops)

        penalty = change_penalty(boxes[..., 2:], state.sizes * scale, self.penalty)
        blended = (1 - self.window_weight) * penalty * scores + self.window_weight * self.window
        best = np.arange(len(frames)), blended.argmax(axis=1)
        box, score = boxes[best], scores[best]

        # From the crop's centre pixel, as boxes are predicted.
        shift = box[:, :2] + box[:, 2:] / 2 - self.network.search_size // 2
        rate = (penalty[best] * score * self.learning_rate)[:, None]
        sizes = (1 - rate) * state.sizes + rate * box[:, 2:] / scale
        state, moved = move_to(state, state.centers + shift / scale, sizes, frames, MIN_SIZE)
        return state, moved, score

    def _crops(self, state: TrackState, frames: Sequence[np.ndarray], sides: np.ndarray, out: int) -> Tensor:
        """Normalised crops (B, 3, out, out) of whole image pixels around the targets."""
        sides = np.maximum(sides, 1)
        corners = np.floor(state.centers - (sides[:, None] + 1) / 2 + 0.5).astype(np.int64)
        pixels = subwindows(frames, corners, sides.astype(np.int64), out, state.fill)
        return self.network.normalise(pixels.to(self.network.pixel_mean, non_blocking=True) / 255)
