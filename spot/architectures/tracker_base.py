"""The interface of a tracker: videos in lock-step, batch-first, frame by frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import TrackerNetwork


@dataclass
class TrackState:
    """Where B targets are.

    Attributes:
        code: the encoded templates, batch-first tensors.
        centers: (B, 2) float64 x, y in image pixels.
        sizes: (B, 2) float64 w, h in image pixels.
        fill: (B, 3) float64 padding colour: mean colour of each video's first frame, RGB in [0, 255].
    """

    code: tuple[Tensor, ...]
    centers: np.ndarray
    sizes: np.ndarray
    fill: np.ndarray


class Tracker(ABC):
    """A trained network on video.

    Frames are (H, W, 3) uint8 RGB arrays, which may differ in size between videos. The state of a video depends on that
    video alone, so tracking B videos together gives the same boxes as tracking each by itself.
    """

    def __init__(self, network: TrackerNetwork) -> None:
        self.network = network.eval()

    @cached_property
    @torch.inference_mode()
    def rounds_one_as_several(self) -> bool:
        """Whether a video by itself gets the boxes and scores, to the last bit, that it gets beside others.

        Kernels for one instance may round otherwise than those for several, which round alike. Which kernels are taken
        depends on sizes alone, so any crops tell.
        """
        network, generator = self.network, torch.Generator().manual_seed(0)
        template, search = (
            torch.rand(1, 3, side, side, generator=generator).to(network.pixel_mean)
            for side in (network.template_size, network.search_size)
        )
        one, two = (
            network.candidates(network.predict(network.encode_template(z), x))
            for z, x in ((template, search), (template.repeat(2, 1, 1, 1), search.repeat(2, 1, 1, 1)))
        )
        return torch.equal(one.scores[0], two.scores[0]) and torch.equal(one.boxes[0], two.boxes[0])

    @abstractmethod
    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """Initialise on the first frames with (B, 4) float boxes, xywh in image pixels."""

    @abstractmethod
    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """Track into the next frames: new state, (B, 4) float64 boxes xywh in image pixels, (B,) float64 scores in [0, 1]."""
