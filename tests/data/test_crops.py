"""Geometry: properties of boxes and crops, and pixels that agree with the boxes."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.data.boxes import clip_boxes, to_crop, to_image
from spot.data.crops import crop, crop_side, jitter_box
from spot.data.images import Frame, read_frame
from spot.runtime.errors import SpotError

coordinates = st.floats(-2000, 2000, width=32)
sides = st.floats(0.125, 2000, width=32)
boxes = st.builds(lambda *values: np.array(values, np.float64), coordinates, coordinates, sides, sides)
limits = st.integers(1, 4000)
quick = settings(max_examples=100, deadline=None)


def frame_of(pixels: np.ndarray) -> Frame:
    return Frame(pixels, pixels.shape[1], pixels.shape[0], pixels.mean((0, 1)))


@quick
@given(boxes, boxes, st.sampled_from([(2, 128), (4, 256), (4, 255)]))
def test_to_image_undoes_to_crop(box, around, setting):
    factor, out = setting
    geometry = torch.tensor([*(around[:2] + around[2:] / 2), out / crop_side(around, factor)])
    there = to_crop(torch.tensor(box), geometry, out)
    torch.testing.assert_close(to_image(there, geometry, out), torch.tensor(box), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)], ids=["one box", "a batch", "any leading shape"])
def test_shapes_broadcast(shape):
    box = torch.rand(*shape, 4)
    geometry = torch.rand(*shape, 3) + 0.5
    expected = to_crop(box.reshape(-1, 4), geometry.reshape(-1, 3), 128).reshape(*shape, 4)
    torch.testing.assert_close(to_crop(box, geometry, 128), expected)
    assert to_image(torch.rand(32, 1, 4), torch.rand(7, 3), 128).shape == (32, 7, 4)


@quick
@given(boxes, limits, limits)
def test_clipping_is_the_intersection_and_idempotent(box, width, height):
    clipped = clip_boxes(box, width, height)
    near = np.clip(box[:2], 0, [width, height])
    far = np.clip(box[:2] + box[2:], 0, [width, height])
    np.testing.assert_allclose(clipped, np.concatenate([near, far - near]), atol=1e-9)
    np.testing.assert_array_equal(clip_boxes(clipped, width, height), clipped)
    if (box[:2] >= 0).all() and (box[:2] + box[2:] <= [width, height]).all():
        np.testing.assert_array_equal(clipped, box)
    np.testing.assert_array_equal(clip_boxes(torch.tensor(box), width, height).numpy(), clipped)


def test_clipping_takes_a_size_per_image():
    box = torch.tensor([[-5.0, -5.0, 50.0, 50.0]]).expand(3, 4)
    sizes = torch.tensor([10.0, 20.0, 100.0])
    expected = [[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 45, 45]]
    assert clip_boxes(box, sizes, sizes).tolist() == expected
    assert clip_boxes(box.numpy(), sizes.numpy(), sizes.numpy()).tolist() == expected


def test_published_clamp_would_have_moved_this_box():
    assert clip_boxes(np.array([-30.0, 20, 50, 40]), 640, 480).tolist() == [0, 20, 20, 40]


@pytest.mark.parametrize(
    ("box", "factor", "expected"),
    [
        pytest.param([0, 0, 100, 100], 2, 200, id="factor is a factor of the side of a square"),
        pytest.param([0, 0, 100, 100], 4, 400, id="search crop"),
        pytest.param([0, 0, 40, 90], 4, 259, id="the mean of both sides is the context"),
        pytest.param([0, 0, 0.3, 0.2], 2, 1, id="rounded up to a whole pixel"),
    ],
)
def test_crop_side(box, factor, expected):
    assert crop_side(np.array(box), factor) == expected
    assert crop_side(np.array([[box, box]]), factor).tolist() == [[expected, expected]]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        pytest.param([10, 10, 0, 0], "smaller than one pixel", id="no area"),
        pytest.param([10, 10, -3, 5], "smaller than one pixel", id="negative side"),
        pytest.param([10, 10, np.nan, 5], "smaller than one pixel", id="not annotated"),
        pytest.param([10, 10, np.inf, 5], "smaller than one pixel", id="not finite"),
        pytest.param([np.nan, 10, 5, 5], "outside", id="nowhere"),
        pytest.param([64, 10, 5, 5], "outside the 64 x 48 image", id="right of the image"),
        pytest.param([-5, 10, 5, 5], "outside", id="left of it, touching"),
        pytest.param([10, 48, 5, 5], "outside", id="below"),
        pytest.param([10, -7, 5, 5], "outside", id="above"),
    ],
)
def test_box_without_a_crop_is_an_error(box, reason):
    with pytest.raises(SpotError, match=reason):
        crop(frame_of(np.zeros((48, 64, 3), np.uint8)), np.array(box, float), 4, 32)


def test_jittered_box_may_leave_the_image_while_its_target_does_not():
    frame = frame_of(np.full((48, 64, 3), 200, np.uint8))
    jittered, target = np.array([66.0, 10, 8, 8]), np.array([58.0, 10, 8, 8])
    pixels, _ = crop(frame, jittered, 4, 32, target)
    assert (pixels == 200).all()
    with pytest.raises(SpotError, match="outside"):
        crop(frame, jittered, 4, 32)


def test_outside_is_mean_colour_truncated():
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = [255, 101, 3]
    patch, _ = crop(frame_of(pixels), np.array([0.0, 0, 40, 40]), 4, 160)
    assert (patch[:50] == [127, 50, 1]).all()
    assert (patch[70:90, 70:75] == 0).all()


def test_giant_box_needs_no_giant_padding():
    frame = frame_of(np.full((48, 64, 3), 90, np.uint8))
    patch, geometry = crop(frame, np.array([-1e6, -1e6, 2e6, 2e6]), 4, 128)
    assert (patch == 90).all()
    assert geometry[2] == pytest.approx(128 / 8e6)


@pytest.mark.parametrize("reduction", [1, 2, 4], ids=["full frame", "halved", "quartered"])
@pytest.mark.parametrize(
    "box",
    [
        pytest.param([300, 200, 180, 140], id="inside"),
        pytest.param([-60, 290, 220, 200], id="over the left and lower edge"),
        pytest.param([500.4, -20.7, 300.2, 160.9], id="over the right and upper edge, broken coordinates"),
    ],
)
def test_rendered_marker_lies_where_its_box_says(tmp_path, box, reduction):
    """A blob drawn at a box's centre is found at the centre of that box in the crop, in any decode."""
    marker = np.array([330.0, 215, 40, 30]) if box[0] == 300 else np.array(
        [40.0, 350, 40, 30] if box[0] < 0 else [590.0, 60, 40, 30]
    )  # fmt: skip
    center = marker[:2] + marker[2:] / 2
    y, x = np.mgrid[:480, :640]
    blob = np.exp(-(((x + 0.5 - center[0]) / 12) ** 2 + ((y + 0.5 - center[1]) / 12) ** 2))
    path = str(tmp_path / "marker.jpg")
    cv2.imwrite(path, np.repeat((blob * 255).astype(np.uint8)[..., None], 3, 2), [cv2.IMWRITE_JPEG_QUALITY, 98])

    side = float(crop_side(np.array(box), 4))
    out = int(side // reduction)
    frame = read_frame(path, "fast", side, out)
    assert frame.reduction == reduction
    patch, geometry = crop(frame, np.array(box), 4, out)

    weight = patch[..., 0].astype(float)
    weight[weight < 64] = 0
    rows, columns = np.mgrid[:out, :out] + 0.5
    found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    expected = to_crop(torch.tensor(marker), torch.tensor(geometry, dtype=torch.float64), out)
    offset = found - (expected[:2] + expected[2:] / 2).numpy()
    # half a crop pixel of convention and up to one full-frame pixel of the whole-pixel square
    assert (offset > 0.5 - 0.15).all()
    assert (offset < 0.5 + geometry[2] + 0.15).all()


def texture(height: int, width: int) -> np.ndarray:
    """Noise with the falling spectrum of photographs."""
    rng = np.random.default_rng(3)
    layers = [
        cv2.resize(rng.random((height // s + 1, width // s + 1, 3), np.float32) * s, (width, height))
        for s in (1, 2, 4, 8, 16, 32, 64)
    ]
    return cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize(
    ("out", "reduction"),
    [pytest.param(210, 2, id="3 to 1, halved"), pytest.param(105, 4, id="6 to 1, quartered")],
)
def test_fast_crop_is_nearer_to_an_area_average_than_an_exact_one(tmp_path, out, reduction):
    """What bounds the loss of a reduced decode: it averages where bilinear sampling skips pixels."""
    pixels = texture(720, 1280)
    path = str(tmp_path / "texture.jpg")
    cv2.imwrite(path, pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    box = np.array([561.25, 281.25, 157.5, 157.5])
    frame = read_frame(path, "fast", crop_side(box, 4), out)
    assert frame.reduction == reduction
    fast, geometry = crop(frame, box, 4, out)
    exact, same = crop(read_frame(path), box, 4, out)
    np.testing.assert_array_equal(geometry, same)
    ideal = cv2.resize(pixels[45:675, 325:955], (out, out), interpolation=cv2.INTER_AREA).astype(float)
    loss_fast, loss_exact = (np.sqrt(np.mean((patch - ideal) ** 2)) for patch in (fast, exact))
    assert loss_fast < 1.2 < loss_exact


def test_jitter_follows_its_law():
    rng = np.random.default_rng(0)
    box = np.array([100.0, 50, 40, 20])
    drawn = np.stack([jitter_box(box, rng, 3, 0.25) for _ in range(4000)])
    ratios = np.log(drawn[:, 2:] / box[2:])
    np.testing.assert_allclose(ratios.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(ratios.std(0), 0.25, atol=0.01)
    shift = (drawn[:, :2] + drawn[:, 2:] / 2 - [120, 60]) / drawn[:, 2:].mean(1, keepdims=True)
    assert np.abs(shift).max() <= 1.5
    np.testing.assert_allclose(shift.std(0), 3 / np.sqrt(12), atol=0.03)
    assert abs(np.corrcoef(np.c_[shift, ratios].T) - np.eye(4)).max() < 0.06


def test_jitter_of_nothing_and_seeds():
    box = np.array([1.5, 2.25, 3.125, 4.0])
    np.testing.assert_allclose(jitter_box(box, np.random.default_rng(0), 0, 0), box, atol=1e-12)
    first, second = (jitter_box(box, np.random.default_rng(7), 3, 0.25) for _ in range(2))
    np.testing.assert_array_equal(first, second)
