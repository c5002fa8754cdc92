"""The interface of a tracker: an architecture's network on video, frame by frame, several videos in lock-step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork
from spot.architectures.subwindow import mean_colour, subwindows


@dataclass
class TrackState:
    """Position and size of B targets. An architecture may add fields: arrays with one row for each video.

    Attributes:
        template_features: the encoded templates, batch-first tensors.
        centers: (B, 2) float64 x, y in image pixels.
        sizes: (B, 2) float64 w, h in image pixels.
        fill: (B, 3) float64 padding colour, RGB in [0, 255].
    """

    template_features: tuple[Tensor, ...]
    centers: np.ndarray
    sizes: np.ndarray
    fill: np.ndarray


class Tracker(ABC):
    """A trained network on video.

    Frames are (H, W, 3) uint8 RGB arrays, which may differ in size between videos. The state of a video depends only on
    that video. So B videos tracked together get the same boxes as each video alone, apart from rounding.

    Args:
        network: on the device on which it shall run.

    Attributes:
        mirror: whether `spot.annotate` tracks the mirrored videos too unless its option says otherwise.
    """

    mirror = False

    def __init__(self, network: TrackerNetwork) -> None:
        self.network = network.eval()

    @abstractmethod
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """Initialise on the first frames with (B, 4) float boxes, xywh in image pixels."""

    @abstractmethod
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """Track into the next frames: new state, (B, 4) float64 boxes xywh in image pixels, (B,) float64 scores in [0, 1]."""


class CropTracker(Tracker):
    """The common part of trackers that cut square crops of whole pixels; the methods below are where they differ."""

    @torch.inference_mode()
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """See `Tracker.start`."""
        centers, sizes = self._place(np.asarray(boxes, np.float64))
        state = TrackState((), centers, sizes, np.stack([self._fill(frame) for frame in frames]))
        sides = np.maximum(self._template_sides(sizes), 1)
        crops = self._crops(state, frames, sides, self.network.template_size)
        placed = centred_boxes(sizes, sides, self.network.template_size)
        return replace(state, template_features=self.network.encode_template(crops, torch.from_numpy(placed).to(crops)))

    @abstractmethod
    def _template_sides(self, sizes: np.ndarray) -> np.ndarray:
        """Return the sides of template crops, (B,) whole image pixels, for targets of (B, 2) w, h."""

    @abstractmethod
    def _corners(self, centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """Return the first pixels (B, 2) int64 x, y of crops of whole sides (B,) around (B, 2) centres."""

    def _place(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return centres and sizes, (B, 2) each, of the boxes that `start` got."""
        return boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]

    def _fill(self, frame: np.ndarray) -> np.ndarray:
        """Return the padding colour of a video, (3,), from its first frame."""
        return mean_colour(frame)

    def _crops(self, state: TrackState, frames: Sequence[np.ndarray], sides: np.ndarray, out: int) -> Tensor:
        """Return normalised crops (B, 3, out, out) around the targets; their sides are (B,) whole image pixels, >= 1."""
        corners = self._corners(state.centers, sides)
        pixels = subwindows(frames, corners, sides.astype(np.int64), out, state.fill)
        return self.network.normalise(pixels.to(self.network.pixel_mean, non_blocking=True) / 255)

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
