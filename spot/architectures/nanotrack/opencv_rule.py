"""The tracking rule of `cv2.TrackerNano` (OpenCV 4.x and 5.0), where it differs from the published one.

OpenCV's boxes are the published program's with these differences. They were found by a rewrite that gives the
same boxes; each of the first five changes boxes or scores:
- the size penalty compares the box's size in crop pixels with the target's position in image pixels,
- the search window has twice the template's side, not 255/127 times,
- w + h is cut to a whole number before a step's context is added,
- the Hann window is the square root of the published one,
- the network gets RGB, although it was trained on BGR,
- centres, window sides and padding colours round otherwise, and the padding is the mean of each frame,
- the score is the penalised and windowed one: 0.455 is possible without a target,
- boxes are cut to whole pixels on the way in and out.
It tracks a little worse on average, so it is not the default.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spot.architectures.nanotrack.tracker import NanoTracker
from spot.architectures.siamese_tracker import context_side
from spot.architectures.subwindow import mean_colour, subwindows
from spot.architectures.tracker import TrackState, move_to


class OpenCVTracker(NanoTracker):
    """`NanoTracker` with OpenCV's rule; see `SiameseTracker` for the arguments."""

    @torch.inference_mode()
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`; the score includes penalty and window."""
        context = self.context * np.trunc(state.sizes.sum(axis=1, keepdims=True))
        template_side = np.sqrt((state.sizes + context).prod(axis=1))
        scale = (self.network.template_size / template_side)[:, None]
        crops = self._crops(state, frames, np.maximum(np.trunc(2 * template_side), 1), self.network.search_size)
        boxes, scores = self._all_cells(state, crops)

        penalty = position_penalty(boxes[..., 2:], state.sizes, state.centers, self.penalty)
        blended = (1 - self.window_weight) * penalty * scores + self.window_weight * np.sqrt(self.window)
        best = np.arange(len(frames)), blended.argmax(axis=1)
        box = boxes[best]

        shift = box[:, :2] + box[:, 2:] / 2 - self.network.search_size // 2
        rate = (penalty[best] * scores[best] * self.learning_rate)[:, None]
        sizes = self._smooth(state.sizes, box[:, 2:] / scale, rate)
        state, moved = move_to(state, state.centers + shift / scale, sizes, frames, self.min_size)
        return state, np.trunc(moved), blended[best]

    def _place(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes = np.trunc(boxes)
        sizes = np.maximum(boxes[:, 2:], 1)
        return boxes[:, :2] + sizes / 2, sizes

    def _template_sides(self, sizes: np.ndarray) -> np.ndarray:
        return np.trunc(context_side(sizes, self.context))

    def _corners(self, centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return np.trunc(centers).astype(np.int64) - (sides.astype(np.int64)[:, None] + 1) // 2

    def _crops(self, state: TrackState, frames: Sequence[np.ndarray], sides: np.ndarray, out: int) -> Tensor:
        fill = np.stack([np.rint(mean_colour(frame)) for frame in frames])
        pixels = subwindows(frames, self._corners(state.centers, sides), sides.astype(np.int64), out, fill)
        return self.network.normalise(pixels.to(self.network.pixel_mean, non_blocking=True).flip(1) / 255)


def position_penalty(sizes: np.ndarray, last: np.ndarray, centers: np.ndarray, strength: float) -> np.ndarray:
    """Return the penalty in (0, 1] for boxes whose aspect differs from the last box's, and their size from its position.

    Args:
        sizes: (B, N, 2) w, h in crop pixels.
        last, centers: (B, 2) w, h and x, y in image pixels.
        strength: k of exp(-(r * s - 1) * k).

    Returns:
        (B, N).
    """
    change = context_side(sizes, 0.5) / context_side(centers, 0.5)[:, None]
    aspect = (last[:, :1] / last[:, 1:]) / (sizes[..., 0] / sizes[..., 1])
    return np.exp(-(np.maximum(change, 1 / change) * np.maximum(aspect, 1 / aspect) - 1) * strength)
