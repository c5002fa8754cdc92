"""The interface of a tracker: an architecture's network on video, frame by frame, several videos in lock-step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork


@dataclass
class TrackState:
    """Position and size of B targets. An architecture may add fields: arrays with one row for each video.

    Attributes:
        template_features: the encoded templates, batch-first tensors.
        centers: (B, 2) float64 x, y in image pixels.
        sizes: (B, 2) float64 w, h in image pixels.
        fill: (B, 3) float64 padding colour: mean colour of each video's first frame, RGB in [0, 255].
    """

    template_features: tuple[Tensor, ...]
    centers: np.ndarray
    sizes: np.ndarray
    fill: np.ndarray


class Tracker(ABC):
    """A trained network on video.

    Frames are (H, W, 3) uint8 RGB arrays, which may differ in size between videos. The state of a video depends only on
    that video. So B videos tracked together get the same boxes as each video alone, apart from rounding.
    """

    def __init__(self, network: TrackerNetwork) -> None:
        self.network = network.eval()

    @abstractmethod
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """Initialise on the first frames with (B, 4) float boxes, xywh in image pixels."""

    @abstractmethod
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """Track into the next frames: new state, (B, 4) float64 boxes xywh in image pixels, (B,) float64 scores in [0, 1]."""

    def _with_template(self, state: TrackState, crops: Tensor, sides: np.ndarray) -> TrackState:
        """Encode template crops whose sides are (B,) image pixels, with the targets at their centres."""
        placed = torch.from_numpy(centred_boxes(state.sizes, sides, self.network.template_size)).to(crops)
        return replace(state, template_features=self.network.encode_template(crops, placed))

    def _all_cells(self, state: TrackState, crops: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Predict boxes (B, N, 4) xywh in crop pixels and scores (B, N) of all cells, with one transfer to the host."""
        candidates = self.network.candidates(self.network.predict(state.template_features, crops))
        found = torch.cat((candidates.boxes, candidates.scores[..., None]), dim=-1).double().cpu().numpy()
        return found[..., :4], found[..., 4]


def move_to(
    state: TrackState, centers: np.ndarray, sizes: np.ndarray, frames: Sequence[np.ndarray], min_size: float
) -> tuple[TrackState, np.ndarray]:
    """Move targets: keep centres (B, 2) inside the image and sizes (B, 2) between `min_size` and the image's.

    Returns:
        The new state and (B, 4) float64 boxes xywh in image pixels.
    """
    limits = np.array([frame.shape[1::-1] for frame in frames], np.float64)
    centers = np.clip(centers, 0, limits)
    sizes = np.maximum(np.minimum(sizes, limits), min_size)
    return replace(state, centers=centers, sizes=sizes), np.concatenate((centers - sizes / 2, sizes), axis=1)


def centred_boxes(sizes: np.ndarray, sides: np.ndarray, out: int) -> np.ndarray:
    """Return where targets lie in crops cut around them, as training places them (docs/method.md section 3).

    Args:
        sizes: (B, 2) w, h of the targets in image pixels.
        sides: (B,) sides of the crops in image pixels.
        out: side of the crops after resizing, pixels.

    Returns:
        (B, 4) float64 xywh in crop pixels, centred at (out - 1) / 2.
    """
    size = sizes * (out / sides)[:, None]
    return np.concatenate([(out - 1) / 2 - size / 2, size], axis=1)
