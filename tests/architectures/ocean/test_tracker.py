"""Ocean on video: the rules that make a box of the network's outputs (parity: tests/parity/test_ocean_tracker.py)."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spot.architectures.ocean.network import Ocean, OceanPrediction
from spot.architectures.ocean.tracker import OceanTracker
from spot.architectures.siamese_tracker import change_penalty, context_side
from spot.architectures.subwindow import mean_colour, subwindow


class Told(Ocean):
    """Says in each step what the test tells it, whatever the images, and remembers these."""

    def __init__(self) -> None:
        backbone = nn.Identity()
        backbone.channels = 1
        super().__init__(backbone, channels=1, tower_depth=1)
        self.scores = torch.full((625,), 0.1)
        self.boxes = torch.full((625, 4), 20.0)

    def encode_template(self, template: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.template = template
        return (template.mean((1, 2, 3)),)

    def predict(self, template_features: tuple[torch.Tensor, ...], search: torch.Tensor) -> OceanPrediction:
        self.search = search
        batch = len(search)
        logits = torch.logit(self.scores).expand(batch, 625)
        return OceanPrediction(logits[..., None], self.boxes.expand(batch, 625, 4), torch.zeros(batch, 625), logits)


@pytest.fixture
def network():
    return Told()


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


def ocean(network, **changed):
    """Return a tracker by the published rule."""
    rule = {"context": 0.5, "penalty": 0.062, "window": 0.38, "learning_rate": 0.765}
    return OceanTracker(network, **{**rule, **changed})


BOX = np.array([[100.0, 90.0, 40.0, 40.0]])
SCALE = 127 / 80  # crop pixels per image pixel: (40 + 40) * (40 + 40) of context 0.5


def test_crops_are_those_of_the_context(network, frame):
    """s_z = 80 for a 40 x 40 box; the search crop is 255 / 127 of that, rounded to whole pixels."""
    tracker = ocean(network)
    state = tracker.start([frame], BOX)
    tracker.step(state, [frame])
    for side, out, crop in ((80, 127, network.template), (161, 255, network.search)):
        corner = np.rint(np.array([120.0, 110.0]) - (side + 1) / 2).astype(int)
        pixels = torch.from_numpy(subwindow(frame, corner, side, out, mean_colour(frame))).permute(2, 0, 1)
        torch.testing.assert_close(crop[0], network.normalise(pixels / 255))


def test_a_step_moves_the_centre_at_once_and_the_size_slowly(network, frame):
    """Cell (12, 14) lies 16 crop pixels right of the centre pixel; the size follows with the square of the rate."""
    network.scores[12 * 25 + 14] = 0.9
    network.boxes[:] = torch.tensor([40.0, 30, 50, 30])
    state, boxes, scores = ocean(network, window=0.0).step(ocean(network).start([frame], BOX), [frame])
    assert scores == pytest.approx([0.9])
    width, height = 90 / SCALE, 60 / SCALE
    last = 40.0
    grown = math.sqrt((90 + 75) * (60 + 75)) / (2 * last * SCALE)
    penalty = math.exp(-0.062 * (1.5 * grown - 1))
    rate = (penalty * 0.9 * 0.765) ** 2
    size = [last + rate * (width - last), last + rate * (height - last)]
    center = [120 + (16 + 5) / SCALE, 110.0]
    assert state.sizes[0] == pytest.approx(size, rel=1e-5)
    assert state.centers[0] == pytest.approx(center, rel=1e-5)
    assert boxes[0] == pytest.approx([center[0] - size[0] / 2, center[1] - size[1] / 2, *size], rel=1e-5)


def test_the_window_prefers_what_is_near(network, frame):
    network.scores[:] = 0.0001
    network.scores[[12 * 25 + 12, 0]] = torch.tensor([0.7, 0.8])
    for window, x in ((0.0, 120 - 96 / SCALE), (0.38, 120)):
        tracker = ocean(network, window=window)
        state, _, _ = tracker.step(tracker.start([frame], BOX), [frame])
        assert state.centers[0, 0] == pytest.approx(x, abs=1e-3)


def test_the_penalty_prefers_the_same_size_and_aspect(network, frame):
    """Two cells with nearly the same score: one box as large as the last one, one three times as wide."""
    network.boxes[:] = 20 * SCALE
    network.boxes[12 * 25 + 13, [0, 2]] = 60 * SCALE
    network.scores[[12 * 25 + 13, 12 * 25 + 11]] = torch.tensor([0.9, 0.88])
    for penalty, x in ((0.0, 120 + 8 / SCALE), (0.062, 120 - 8 / SCALE)):
        tracker = ocean(network, window=0.0, penalty=penalty)
        state, _, _ = tracker.step(tracker.start([frame], BOX), [frame])
        assert state.centers[0, 0] == pytest.approx(x, abs=1e-3)


def test_boxes_stay_on_the_image_and_keep_a_least_size(network, frame):
    """The centre may lie on the border; sizes are at most the image's and at least min_size, which wins."""
    network.scores[0] = 0.99
    tracker = ocean(network, penalty=0.0, window=0.0, learning_rate=1.0)
    box = np.array([[2.0, 2.0, 30.0, 30.0]])
    network.boxes[:] = 0.5
    state, boxes, _ = tracker.step(tracker.start([frame], box), [frame])
    assert state.centers.tolist() == [[0, 0]]
    for _ in range(20):
        state, boxes, _ = tracker.step(state, [frame])
    assert boxes.tolist() == [[-5, -5, 10, 10]]

    network.boxes[:] = 110.0
    state = tracker.start([frame[:50, :60]], box)
    for _ in range(20):
        state, boxes, _ = tracker.step(state, [frame[:50, :60]])
    assert state.sizes.tolist() == [[60, 50]]


def test_videos_do_not_see_each_other():
    """Frames of different sizes, targets of different sizes, with a network that looks at its images."""
    torch.manual_seed(0)

    class Patches(nn.Conv2d):
        channels = 4

    network = Ocean(Patches(3, 4, 15, stride=8), channels=4, tower_depth=1)
    tracker = ocean(network)
    rng = np.random.default_rng(0)
    shapes, boxes = [(120, 160), (90, 200)], np.array([[30.0, 40, 50, 30], [150.0, 10, 20, 60]])
    videos = [[rng.integers(0, 256, (*shape, 3), np.uint8) for _ in range(3)] for shape in shapes]

    def track(which: list[int]) -> np.ndarray:
        state = tracker.start([videos[i][0] for i in which], boxes[which])
        found = []
        for t in (1, 2):
            state, box, score = tracker.step(state, [videos[i][t] for i in which])
            found.append(np.concatenate([box, score[:, None]], axis=1))
        return np.stack(found, axis=1)

    np.testing.assert_allclose(track([0, 1]), np.concatenate([track([0]), track([1])]), rtol=0, atol=1e-3)


def test_context_side():
    """sqrt((30 + 35) * (40 + 35)) for 30 x 40 and context 0.5."""
    assert context_side(np.array([[30.0, 40.0]]), 0.5) == pytest.approx([math.sqrt(65 * 75)])


@pytest.mark.parametrize(
    ("size", "change"),
    [((40, 20), 1.0), ((80, 40), 2.0), ((20, 10), 2.0), ((20, 40), 4.0)],
    ids=["same", "twice as large", "half as large", "other aspect: 2 to 1/2"],
)
def test_change_penalty(size, change):
    penalty = change_penalty(np.array([[size]], float), np.array([[40.0, 20.0]]), strength=0.1)
    assert penalty.item() == pytest.approx(math.exp(-0.1 * (change - 1)))
