"""Ocean's tracker on the golden videos, free-running and from given states (golden/i_trackers_float64).

A few frames in double precision are enough: free-running errors would pile up, and forced frames are independent.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from spot.architectures.ocean.backbone import OceanResNet50
from spot.architectures.ocean.network import Ocean
from spot.architectures.ocean.tracker import OceanTracker
from tests.parity.weights import fill
from tests.paths import GOLDEN, requires_shared

pytestmark = requires_shared

VIDEOS = ("center", "edge")  # in the second one the target leaves at the right, so crops are padded


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "i_trackers_float64.npz")


@pytest.fixture(scope="module")
def meta():
    videos = json.loads((GOLDEN / "i_trackers_float64.json").read_text())["meta"]["videos"]
    return [videos[name] for name in VIDEOS]


@pytest.fixture(scope="module")
def tracker():
    network = Ocean(OceanResNet50(weights="none"))
    fill(network, Ocean.published.published_key)
    return OceanTracker(network.double(), context=0.5, penalty=0.062, window=0.38, learning_rate=0.765)


@pytest.fixture(scope="module")
def frames(golden, meta):
    """Frame t of both videos: the texture pasted on the background, cut at the border."""
    height, width = golden["texture"].shape[:2]
    edge = 64

    def frame(x: int, y: int) -> np.ndarray:
        padded = np.pad(golden["background"], ((edge, edge), (edge, edge), (0, 0)))
        padded[edge + y :, edge + x :][:height, :width] = golden["texture"]
        return padded[edge:-edge, edge:-edge].copy()

    return [[frame(*video["positions"][t]) for video in meta] for t in range(16)]


@pytest.fixture(scope="module")
def started(tracker, meta, frames):
    return tracker.start(frames[0], np.array([video["init_bbox"] for video in meta]))


def check(golden, name: str, times: tuple[int, int], boxes: np.ndarray, scores: np.ndarray) -> None:
    for i, (video, t) in enumerate(zip(VIDEOS, times, strict=True)):
        np.testing.assert_allclose(boxes[i], golden[f"{video}_ocean_{name}boxes"][t - 1], rtol=0, atol=1e-2)
        np.testing.assert_allclose(scores[i], golden[f"{video}_ocean_{name}scores"][t - 1], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_free_running_boxes_and_scores_equal_the_published_ones(tracker, golden, frames, started):
    state = started
    for t in range(1, 4):
        state, boxes, scores = tracker.step(state, frames[t])
        check(golden, "", (t, t), boxes, scores)


def test_a_step_from_given_states_equals_the_published_one(tracker, golden, frames, meta, started):
    """One video in its middle, the other when its target has left the image."""
    times = (8, 15)
    centers = np.add([video["positions"][t - 1] for video, t in zip(meta, times, strict=True)], [24.0, 20.0])
    sizes = np.array([[48.0 + t, 40.0 - t] for t in times])
    now = [frames[t][i] for i, t in enumerate(times)]
    _, boxes, scores = tracker.step(replace(started, centers=centers, sizes=sizes), now)
    check(golden, "forced_", times, boxes, scores)
