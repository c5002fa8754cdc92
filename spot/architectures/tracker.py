"""The interface of a tracker: an architecture's network on video, frame by frame, several videos in lock-step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from spot.architectures.base import TrackerNetwork


@dataclass
class TrackState:
    """Where B targets are. An architecture may add fields, arrays with one row a video.

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

    Frames are (H, W, 3) uint8 RGB arrays, which may differ in size between videos. The state of a video depends on that
    video alone, so tracking B videos together gives the same boxes as tracking each by itself, but for rounding.
    """

    def __init__(self, network: TrackerNetwork) -> None:
        self.network = network.eval()

    @abstractmethod
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """Initialise on the first frames with (B, 4) float boxes, xywh in image pixels."""

    @abstractmethod
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """Track into the next frames: new state, (B, 4) float64 boxes xywh in image pixels, (B,) float64 scores in [0, 1]."""


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
