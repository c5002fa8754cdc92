"""OSTrack on video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork
from spot.architectures.tracker import CropTracker, TrackState


class OSTrackTracker(CropTracker):
    """Takes the best cell of the score map times a Hann window; no smoothing of sizes.

    Args:
        network: on the device on which it shall run.
        template_factor, search_factor: side of a crop over the square root of the target's area.
        margin: pixels of the box that stay inside the image.
        fill: colour outside the image: `black` (published) or `mean` (of the first frame, as this project trains).
    """

    def __init__(
        self,
        network: TrackerNetwork,
        template_factor: float = 2.0,
        search_factor: float = 4.0,
        margin: float = 10.0,
        fill: Literal["black", "mean"] = "black",
    ) -> None:
        super().__init__(network)
        self.template_factor, self.search_factor = template_factor, search_factor
        self.margin, self.black = margin, fill == "black"
        line = torch.hann_window(network.grid + 2, periodic=False, dtype=torch.float64)[1:-1]  # without the zeros
        self.window = torch.outer(line, line).flatten().to(network.pixel_mean)

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score is that of the best cell before the window."""
        sides = np.maximum(self._sides(state.sizes, self.search_factor), 1)
        crops = self._crops(state, frames, sides, self.network.search_size)
        candidates = self.network.candidates(self.network.predict(state.template_features, crops))
        best = (candidates.scores * self.window).argmax(1)
        rows = torch.arange(len(best), device=best.device)
        found = torch.cat((candidates.boxes[rows, best], candidates.scores[rows, best, None]), dim=1)
        numbers = found.double().cpu().numpy()
        # Half the crop, not (out - 1) / 2 as in training: published checkpoints are tested so.
        boxes = numbers[:, :4] * (sides / self.network.search_size)[:, None]
        corners = state.centers + boxes[:, :2] - sides[:, None] / 2
        limits = np.array([frame.shape[1::-1] for frame in frames], np.float64)
        first = np.clip(corners, 0, limits - self.margin)
        last = np.clip(corners + boxes[:, 2:], self.margin, limits)
        sizes = np.maximum(last - first, self.margin)
        return (
            replace(state, centers=first + sizes / 2, sizes=sizes),
            np.concatenate((first, sizes), axis=1),
            numbers[:, 4],
        )

    def _template_sides(self, sizes: np.ndarray) -> np.ndarray:
        return self._sides(sizes, self.template_factor)

    def _sides(self, sizes: np.ndarray, factor: float) -> np.ndarray:
        return np.ceil(np.sqrt(sizes.prod(axis=1)) * factor)

    def _fill(self, frame: np.ndarray) -> np.ndarray:
        return np.zeros(3) if self.black else super()._fill(frame)

    def _corners(self, centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return np.rint(centers - sides[:, None] / 2).astype(np.int64)

    def _crops(self, state: TrackState, frames: Sequence[np.ndarray], sides: np.ndarray, out: int) -> Tensor:
        ends = self._corners(state.centers, sides) + sides[:, None].astype(np.int64)
        cut = [without_touched_edge(frame, end) for frame, end in zip(frames, ends, strict=True)]
        return super()._crops(state, cut, sides, out)


def without_touched_edge(frame: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Cut the last column or row of a (H, W, 3) frame if a crop that ends at `end` (x, y) touches it.

    The published program pads one pixel too many there, so the crop shows the fill colour instead.
    """
    height, width = frame.shape[:2]
    return frame[: height - int(end[1] >= height), : width - int(end[0] >= width)]
