"""Windows of frames, against padding the whole frame first."""

import cv2
import numpy as np
import pytest
import torch

from spot.architectures.subwindow import mean_colour, subwindow, subwindows

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
FILL = np.array([10.2, 20.9, 255.0])


@pytest.mark.parametrize(
    ("x", "y", "side"),
    [(5, 7, 20), (-6, 10, 30), (70, 50, 40), (-50, -50, 300), (-30, 5, 20), (80, 0, 5), (3, 4, 31)],
    ids=["inside", "left", "corner", "all round", "outside at the left", "outside at the right", "size kept"],
)
def test_equals_padding_the_whole_frame(x, y, side):
    edge = 400
    padded = np.empty((60 + 2 * edge, 80 + 2 * edge, 3), np.uint8)
    padded[:] = FILL.astype(np.uint8)  # cut, not rounded: 20 and not 21
    padded[edge:-edge, edge:-edge] = FRAME
    window = padded[edge + y :, edge + x :][:side, :side]
    np.testing.assert_array_equal(subwindow(FRAME, np.array([x, y]), side, 31, FILL), cv2.resize(window, (31, 31)))


def test_frames_of_several_sizes():
    frames = [FRAME, FRAME[:40, :50]]
    corners, sides = np.array([[5, 7], [-3, 30]]), np.array([20, 25])
    crops = subwindows(frames, corners, sides, 16, np.stack([FILL, FILL]))
    assert crops.shape == (2, 3, 16, 16)
    for i in range(2):
        expected = torch.from_numpy(subwindow(frames[i], corners[i], int(sides[i]), 16, FILL)).permute(2, 0, 1)
        assert torch.equal(crops[i], expected)


def test_mean_colour():
    np.testing.assert_allclose(mean_colour(FRAME), FRAME.mean((0, 1)), rtol=1e-12)
