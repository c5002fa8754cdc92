"""The tracking rule of SiamRPN and its successors, which Ocean and NanoTrack share (docs/method.md section 7)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from spot.architectures.base import TrackerNetwork, hann_window
from spot.architectures.tracker import CropTracker, TrackState, move_to


class SiameseTracker(CropTracker):
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
        context: float,
        penalty: float,
        window: float,
        learning_rate: float,
        min_size: float = 10.0,
    ) -> None:
        super().__init__(network)
        self.context, self.penalty, self.window_weight = context, penalty, window
        self.learning_rate, self.min_size = learning_rate, min_size
        self.window = hann_window(network.grid).double().numpy()

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score is that of the best cell before penalties and window."""
        template_side = context_side(state.sizes, self.context)
        scale = (self.network.template_size / template_side)[:, None]  # crop pixels per image pixel
        sides = self._whole(template_side * self.network.search_size / self.network.template_size)
        crops = self._crops(state, frames, np.maximum(sides, 1), self.network.search_size)
        boxes, scores = self._all_cells(state, crops)

        penalty = change_penalty(boxes[..., 2:], state.sizes * scale, self.penalty)
        blended = (1 - self.window_weight) * penalty * scores + self.window_weight * self.window
        best = np.arange(len(frames)), blended.argmax(axis=1)
        box, score = boxes[best], scores[best]

        shift = box[:, :2] + box[:, 2:] / 2 - self.network.search_size // 2  # boxes count from the crop's centre pixel
        rate = (penalty[best] * score * self.learning_rate)[:, None]
        sizes = self._smooth(state.sizes, box[:, 2:] / scale, rate)
        state, moved = move_to(state, state.centers + shift / scale, sizes, frames, self.min_size)
        return state, moved, score

    def _template_sides(self, sizes: np.ndarray) -> np.ndarray:
        return np.rint(context_side(sizes, self.context))

    @abstractmethod
    def _whole(self, sides: np.ndarray) -> np.ndarray:
        """Round the sides of search crops, (B,)."""

    @abstractmethod
    def _smooth(self, old: np.ndarray, new: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Return sizes (B, 2) between the old ones and the predicted ones; rates are (B, 1) in [0, 1]."""


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
