"""The TransT tracker equals the published one in float64, frame by frame (docs/method.md section 7).

Free-running for the first frames of both golden videos in lock-step, and forced (the state is set before the frame)
for the last one.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from spot.architectures.backbones.resnet import ResNet50
from spot.architectures.tracker import TrackState
from spot.architectures.transt.network import TransT
from spot.architectures.transt.tracker import TransTTracker
from tests.parity.weights import fill
from tests.paths import GOLDEN, requires_shared

pytestmark = requires_shared

VIDEOS = ("center", "edge")
FREE_FRAMES = 3
LAST = 15


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "i_trackers_float64.npz") as file:
        return {key: file[key] for key in file.files if "ocean" not in key}


@pytest.fixture(scope="module")
def positions() -> dict[str, list[list[int]]]:
    videos = json.loads((GOLDEN / "i_trackers_float64.json").read_text())["meta"]["videos"]
    return {name: video["positions"] for name, video in videos.items()}


@pytest.fixture(scope="module")
def tracker() -> TransTTracker:
    network = TransT(ResNet50(weights="none"))
    fill(network, TransT.published.published_key)
    return TransTTracker(network.double())


def frame(golden: dict[str, np.ndarray], position: list[int]) -> np.ndarray:
    """The background with the texture's visible part at x, y."""
    x, y = position
    texture = golden["texture"][max(-y, 0) :, max(-x, 0) :]
    image = golden["background"].copy()
    place = image[max(y, 0) :, max(x, 0) :][: texture.shape[0], : texture.shape[1]]
    place[:] = texture[: place.shape[0], : place.shape[1]]
    return image


def start(tracker: TransTTracker, golden: dict, positions: dict) -> TrackState:
    first = [positions[name][0] for name in VIDEOS]
    boxes = np.array([[x, y, 48, 40] for x, y in first], np.float64)
    return tracker.start([frame(golden, position) for position in first], boxes)


@pytest.mark.slow
def test_free_running(tracker: TransTTracker, golden: dict, positions: dict) -> None:
    state = start(tracker, golden, positions)
    for t in range(1, FREE_FRAMES + 1):
        state, boxes, scores = tracker.step(state, [frame(golden, positions[name][t]) for name in VIDEOS])
        for row, name in enumerate(VIDEOS):
            np.testing.assert_allclose(boxes[row], golden[f"{name}_transt_boxes"][t - 1], rtol=0, atol=1e-4)
            assert scores[row] == pytest.approx(golden[f"{name}_transt_scores"][t - 1], abs=1e-6)


def test_forced(tracker: TransTTracker, golden: dict, positions: dict) -> None:
    """The last frame, where the crop reaches far outside the image; only the template comes from frame 0."""
    state = replace(
        start(tracker, golden, positions),
        centers=np.array([positions[name][LAST - 1] for name in VIDEOS]) + np.array([24.0, 20.0]),
        sizes=np.array([[48.0 + LAST, 40.0 - LAST]] * 2),
    )
    _, boxes, scores = tracker.step(state, [frame(golden, positions[name][LAST]) for name in VIDEOS])
    for row, name in enumerate(VIDEOS):
        np.testing.assert_allclose(boxes[row], golden[f"{name}_transt_forced_boxes"][-1], rtol=0, atol=1e-4)
        assert scores[row] == pytest.approx(golden[f"{name}_transt_forced_scores"][-1], abs=1e-6)
