"""OSTrack on video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork
from spot.architectures.subwindow import mean_colour, subwindow
from spot.architectures.tracker import Tracker, TrackState


class OSTrackTracker(Tracker):
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
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """See `Tracker.start`."""
        boxes = np.asarray(boxes, np.float64)
        sizes = boxes[:, 2:]
        fill = np.stack([np.zeros(3) if self.black else mean_colour(frame) for frame in frames])
        state = TrackState((), boxes[:, :2] + sizes / 2, sizes, fill)
        crops, sides = self._crops(state, frames, self.template_factor, self.network.template_size)
        return self._with_template(state, crops, sides)

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score is that of the best cell before the window."""
        crops, sides = self._crops(state, frames, self.search_factor, self.network.search_size)
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

    def _crops(
        self, state: TrackState, frames: Sequence[np.ndarray], factor: float, out: int
    ) -> tuple[Tensor, np.ndarray]:
        """Normalised crops (B, 3, out, out) around the targets, and their sides (B,) in image pixels."""
        sides = np.maximum(np.ceil(np.sqrt(state.sizes.prod(axis=1)) * factor), 1)
        corners = np.rint(state.centers - sides[:, None] / 2).astype(np.int64)
        crops = np.empty((len(frames), out, out, 3), np.uint8)
        for i, frame in enumerate(frames):
            crops[i] = subwindow(
                without_touched_edge(frame, corners[i] + int(sides[i])), corners[i], int(sides[i]), out, state.fill[i]
            )
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).to(self.network.pixel_mean.device, non_blocking=True)
        scaled = pixels.to(self.network.pixel_mean.dtype) / 255
        return self.network.normalise(scaled), sides


def without_touched_edge(frame: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Cut the last column or row of a (H, W, 3) frame if a crop that ends at `end` (x, y) touches it.

    The published program pads one pixel too many there, so the crop shows the fill colour instead.
    """
    height, width = frame.shape[:2]
    return frame[: height - int(end[1] >= height), : width - int(end[0] >= width)]
