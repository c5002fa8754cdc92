"""A tracker without learning, whose boxes depend on the pixels and on its own past, and a handful of videos."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spot.architectures.base import Candidates, Prediction, TrackerNetwork
from spot.architectures.tracker import Tracker, TrackState
from spot.data.datasets import synthetic
from spot.data.video import Video, VideoSet

SIZE = (96, 80)


class FakeNetwork(TrackerNetwork):
    template_size = search_size = grid = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.1))

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        return (template.float().mean((1, 2, 3)) * self.scale,)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> Prediction:
        raise NotImplementedError

    def candidates(self, prediction: Prediction) -> Candidates:
        raise NotImplementedError


@dataclass
class FakeState(TrackState):
    """With a field of its own, as an architecture may need: frames seen so far."""

    age: np.ndarray


class FakeTracker(Tracker):
    """The centre drifts with the frame's brightness against the template's; `calls` keeps every batch's size.

    In the frames `lost` (1 = the first after a start) the box is far outside the image.
    """

    def __init__(self, network: TrackerNetwork, lost: Sequence[int] = (), bad: float = 0.0) -> None:
        super().__init__(network)
        self.lost, self.bad = lost, bad
        self.calls: list[tuple[str, int]] = []

    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        self.calls.append(("start", len(frames)))
        light = torch.from_numpy(np.stack([f[:64, :64] for f in frames]))
        features = self.network.encode_template(light, torch.zeros(len(frames), 4))
        centers = boxes[:, :2] + boxes[:, 2:] / 2
        return FakeState(features, centers, boxes[:, 2:], np.zeros((len(frames), 3)), np.zeros(len(frames), int))

    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        assert isinstance(state, FakeState)
        self.calls.append(("step", len(frames)))
        light = np.array([f.mean() for f in frames])
        drift = 0.1 * light - state.template_features[0].detach().double().numpy()
        age = state.age + 1
        centers = state.centers + 0.1 * drift[:, None] + self.bad
        state = replace(state, centers=centers, age=age)
        away = np.where(np.isin(age, self.lost), 1e4, 0)[:, None]
        boxes = np.concatenate([centers - state.sizes / 2 + away, state.sizes], axis=1)
        return state, boxes, 1 / (1 + age)


def videos_of(root: Path, lengths: Sequence[int]) -> VideoSet:
    """Synthetic videos of these lengths."""
    whole = synthetic.load(root, "test", videos=len(lengths), frames=max(lengths), size=SIZE)
    cut = (
        Video(v.name, replace(v.frames, count=n), v.boxes[:n].copy(), v.visible[:n])
        for v, n in zip(whole, lengths, strict=True)
    )
    return VideoSet.from_videos("Synthetic", cut)
