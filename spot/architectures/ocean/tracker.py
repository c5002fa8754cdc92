"""Ocean on video (docs/method.md section 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork, hann_window
from spot.architectures.subwindow import mean_colour, subwindows
from spot.architectures.tracker import Tracker, TrackState, move_to


class OceanTracker(Tracker):
    """Takes the best cell after penalties for changes of size and aspect, and smooths the target's size.

    Args:
        network: on the device on which it shall run.
        context: fraction of w + h that is added to each side before a crop is taken (context_amount).
        penalty: strength of the penalty (penalty_k).
        window: weight of the Hann window against the penalised scores (window_influence).
        learning_rate: of the size, before it is scaled by the penalised score (lr).
        min_size: least width and height of a box in image pixels.
    """

    def __init__(
        self,
        network: TrackerNetwork,
        context: float = 0.5,
        penalty: float = 0.062,
        window: float = 0.38,
        learning_rate: float = 0.765,
        min_size: float = 10.0,
    ) -> None:
        super().__init__(network)
        self.context, self.penalty, self.window_weight = context, penalty, window
        self.learning_rate, self.min_size = learning_rate, min_size
        self.window = hann_window(network.grid).double().numpy()

    @torch.inference_mode()
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """See `Tracker.start`."""
        boxes = np.asarray(boxes, np.float64)
        sizes = boxes[:, 2:]
        state = TrackState((), boxes[:, :2] + sizes / 2, sizes, np.stack([mean_colour(f) for f in frames]))
        sides = np.rint(context_side(sizes, self.context))
        crops = self._crops(state, frames, sides, self.network.template_size)
        return self._with_template(state, crops, sides)

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score is that of the best cell before penalties and window."""
        template_side = context_side(state.sizes, self.context)
        scale = (self.network.template_size / template_side)[:, None]  # crop pixels per image pixel
        sides = np.floor(template_side * self.network.search_size / self.network.template_size + 0.5)
        crops = self._crops(state, frames, sides, self.network.search_size)
        boxes, scores = self._all_cells(state, crops)

        penalty = change_penalty(boxes[..., 2:], state.sizes * scale, self.penalty)
        blended = (1 - self.window_weight) * penalty * scores + self.window_weight * self.window
        best = np.arange(len(frames)), blended.argmax(axis=1)
        box, score = boxes[best], scores[best]

        # From the crop's centre pixel, as boxes are predicted (see spot/architectures/ocean/network.py).
        shift = box[:, :2] + box[:, 2:] / 2 - self.network.search_size // 2
        rate = (penalty[best] * score * self.learning_rate)[:, None]
        # Smoothed twice, hence the square: published checkpoints are tested so.
        sizes = state.sizes + rate**2 * (box[:, 2:] / scale - state.sizes)
        state, moved = move_to(state, state.centers + shift / scale, sizes, frames, self.min_size)
        return state, moved, score

    def _crops(self, state: TrackState, frames: Sequence[np.ndarray], sides: np.ndarray, out: int) -> Tensor:
        """Normalised crops (B, 3, out, out) of whole image pixels around the targets."""
        sides = np.maximum(sides, 1)
        corners = np.rint(state.centers - (sides[:, None] + 1) / 2).astype(np.int64)
        pixels = subwindows(frames, corners, sides.astype(np.int64), out, state.fill)
        return self.network.normalise(pixels.to(self.network.pixel_mean, non_blocking=True) / 255)


def context_side(sizes: np.ndarray, context: float) -> np.ndarray:
    """Side of the square of SiamFC's area: (..., 2) w, h to (...,) sqrt((w + c) * (h + c)), c = context * (w + h)."""
    return np.sqrt((sizes + context * sizes.sum(axis=-1, keepdims=True)).prod(axis=-1))


def change_penalty(sizes: np.ndarray, last: np.ndarray, strength: float) -> np.ndarray:
    """Penalty in (0, 1] for boxes whose size and aspect differ from the last box's.

    Args:
        sizes: (B, N, 2) w, h > 0.
        last: (B, 2) in the same unit.
        strength: k of exp(-(r * s - 1) * k); r and s >= 1 are the changes of aspect and size.

    Returns:
        (B, N).
    """
    last = last[:, None]
    scale = context_side(sizes, 0.5) / context_side(last, 0.5)
    aspect = (last[..., 0] / last[..., 1]) / (sizes[..., 0] / sizes[..., 1])
    change = np.maximum(scale, 1 / scale) * np.maximum(aspect, 1 / aspect)
    return np.exp(-(change - 1) * strength)
