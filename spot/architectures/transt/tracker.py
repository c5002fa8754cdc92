"""TransT on video (docs/method.md section 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork, best_cell, hann_window
from spot.architectures.subwindow import subwindows
from spot.architectures.tracker import CropTracker, TrackState, move_to


class TransTTracker(CropTracker):
    """Takes the best cell of each search crop as it is: no smoothing, no penalty but the window.

    Args:
        network: on the device on which it shall run.
        window: weight of the Hann window against the scores (window_penalty).
        template_factor, search_factor: side of a crop over that of a square as large as the target's.
        min_size: least width and height of a box in image pixels.
    """

    def __init__(
        self,
        network: TrackerNetwork,
        window: float = 0.49,
        template_factor: float = 2.0,
        search_factor: float = 4.0,
        min_size: float = 10.0,
    ) -> None:
        super().__init__(network)
        self.window_weight = window
        self.window = hann_window(network.grid, network.pixel_mean.device)
        self.template_factor, self.search_factor = template_factor, search_factor
        self.min_size = min_size

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score is that of the best cell after blending with the window."""
        sides = np.maximum(self._sides(state.sizes, self.search_factor), 1)
        crops = self._crops(state, frames, sides, self.network.search_size)
        candidates = self.network.candidates(self.network.predict(state.template_features, crops))
        best = best_cell(candidates, self.window, self.window_weight)
        found = torch.cat((best.box, best.score[:, None]), dim=1).double().cpu().numpy()
        # Half the crop, not (out - 1) / 2 as in training: published checkpoints are tested so.
        boxes = found[:, :4] * (sides / self.network.search_size)[:, None]
        sizes = boxes[:, 2:]
        centers = state.centers + boxes[:, :2] + sizes / 2 - sides[:, None] / 2
        state, moved = move_to(state, centers, sizes, frames, self.min_size)
        return state, moved, found[:, 4]

    def _template_sides(self, sizes: np.ndarray) -> np.ndarray:
        return self._sides(sizes, self.template_factor)

    def _sides(self, sizes: np.ndarray, factor: float) -> np.ndarray:
        context = (factor - 1) * sizes.mean(axis=1, keepdims=True)
        return np.ceil(np.sqrt((sizes + context).prod(axis=1)))

    def _corners(self, centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return np.floor(centers - (sides[:, None] + 1) / 2 + 0.5).astype(np.int64)

    def _crops(self, state: TrackState, frames: Sequence[np.ndarray], sides: np.ndarray, out: int) -> Tensor:
        pixels = subwindows(frames, self._corners(state.centers, sides), sides.astype(np.int64), out, state.fill)
        scaled = pixels.to(self.network.pixel_mean.device, non_blocking=True).float() * (1 / 255)
        return self.network.normalise(scaled).to(self.network.pixel_mean.dtype)
