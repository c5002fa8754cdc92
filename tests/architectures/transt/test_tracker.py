"""TransT on video: geometry with a network that answers as told; the numbers are proved in tests/parity."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spot.architectures.backbones.small_cnn import SmallCNN
from spot.architectures.base import Candidates, TrackerNetwork
from spot.architectures.transt.network import TransT, TransTPrediction
from spot.architectures.transt.tracker import TransTTracker

FRAME = np.full((240, 320, 3), 90, np.uint8)


class Oracle(TrackerNetwork):
    """Says the same box in every cell, and a score of 0.6 in the centre one."""

    template_size, search_size, grid = 64, 128, 5

    def __init__(self, box: list[float]) -> None:
        super().__init__()
        self.backbone = nn.Identity()
        self.box = box

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        assert template.shape[1:] == (3, 64, 64)
        return (template,)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> TransTPrediction:
        assert search.shape == (len(template_features[0]), 3, 128, 128)
        scores = torch.zeros(len(search), 25)
        scores[:, 12] = 0.6
        return TransTPrediction(scores, torch.tensor(self.box).expand(len(search), 25, 4), scores)

    def candidates(self, prediction: TransTPrediction) -> Candidates:
        return Candidates(prediction.logits, prediction.boxes, prediction.ious)


@pytest.mark.parametrize(
    ("start", "found", "expected"),
    [
        pytest.param(
            [140, 100, 40, 40], [60, 40, 20, 40], [155, 90, 25, 50], id="160 pixels of frame: 1.25 a crop pixel"
        ),
        pytest.param([140, 100, 40, 40], [64, 64, 0, 4], [155, 117.5, 10, 10], id="no side shorter than min_size"),
        pytest.param([0, 0, 40, 40], [-24, -4, 20, 40], [-12.5, -25, 25, 50], id="centre kept inside the frame"),
        pytest.param([280, 200, 400, 400], [24, 24, 80, 80], [160, 120, 320, 240], id="no larger than the frame"),
    ],
)
def test_boxes_return_to_the_frame(start: list[float], found: list[float], expected: list[float]) -> None:
    tracker = TransTTracker(Oracle(found), window=0.25)
    state, boxes, scores = tracker.step(tracker.start([FRAME], np.array([start])), [FRAME])
    np.testing.assert_allclose(boxes, [expected])
    np.testing.assert_allclose(scores, [0.25 * 1 + 0.75 * 0.6], rtol=1e-6)
    np.testing.assert_allclose(state.centers, boxes[:, :2] + boxes[:, 2:] / 2)
    assert boxes.dtype == scores.dtype == np.float64


def test_padding_is_the_first_frames_mean_colour() -> None:
    """Later frames may be darker; a crop that leaves the frame still sees the colour of frame 0."""
    seen = []

    class Watching(Oracle):
        def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> TransTPrediction:
            seen.append(search)
            return super().predict(template_features, search)

    tracker = TransTTracker(Watching([54, 54, 20, 20]))
    state = tracker.start([FRAME], np.array([[0.0, 0.0, 40.0, 40.0]]))
    tracker.step(state, [np.zeros_like(FRAME)])
    grey, black = (tracker.network.normalise(torch.full((3, 1, 1), v / 255)) for v in (90, 0))
    torch.testing.assert_close(seen[0][0, :, :1, :1], grey)
    torch.testing.assert_close(seen[0][0, :, -1:, -1:], black)


def test_videos_in_lock_step_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    network = TransT(SmallCNN((4, 8, 8), (1, 1)), 64, 128, d_model=16, heads=2, layers=1, ffn=16)
    tracker = TransTTracker(network)
    rng = np.random.default_rng(0)
    videos = [[rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(4)] for size in ((90, 120), (70, 60))]
    start = np.array([[50.0, 40.0, 20.0, 24.0], [5.0, 6.0, 14.0, 12.0]])

    def track(rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
        state = tracker.start([videos[i][0] for i in rows], start[rows])
        tracks = []
        for t in range(1, 4):
            state, boxes, scores = tracker.step(state, [videos[i][t] for i in rows])
            tracks.append((boxes, scores))
        return tuple(np.stack(part) for part in zip(*tracks, strict=True))

    together = track([0, 1])
    for row in (0, 1):
        for joint, alone in zip(together, track([row]), strict=True):
            np.testing.assert_allclose(joint[:, row], alone[:, 0], rtol=1e-4, atol=1e-3)
    assert ((together[1] >= 0) & (together[1] <= 1)).all()
