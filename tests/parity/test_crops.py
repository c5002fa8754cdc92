"""Crops and boxes equal the published ones: pixels by CRC, boxes to the bit in float32."""

import zlib

import cv2
import numpy as np
import pytest
import torch

from spot.data.boxes import clip_boxes, to_crop, to_image
from spot.data.crops import crop, crop_side
from spot.data.images import Frame
from spot.runtime.errors import SpotError
from tests.paths import GOLDEN, PARITY_DATA, requires_shared

WIDTH, HEIGHT = 640, 480
OFF_IMAGE = [34, 35, 36, 37, 38, 39]  # boxes that share nothing with the image; the published code crops on

sizes = pytest.mark.parametrize(
    ("factor", "out"),
    [(4, 256), (2, 128), (4, 255), (2, 127)],
    ids=["TransT search", "TransT template", "Ocean search", "Ocean template"],
)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY_DATA / "crops.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def frame() -> Frame:
    """The image that the published code cropped, made again from its seed."""
    noise = np.random.RandomState(1).rand(HEIGHT, WIDTH, 3).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 9)
    low, high = smooth.min((0, 1)), smooth.max((0, 1))
    pixels = np.round((smooth - low) / (high - low) * 255).astype(np.uint8)
    return Frame(pixels, WIDTH, HEIGHT, pixels.mean((0, 1)))


@pytest.mark.skipif(cv2.__version__ < "5", reason="the CRCs hold for the bilinear resize of OpenCV 5")
@sizes
def test_crops_equal_to_the_pixel(golden, frame, factor, out):
    for i, (box, crc) in enumerate(zip(golden["boxes"], golden[f"f{factor}_s{out}_crc32"], strict=True)):
        target = np.array([0, 0, 1, 1]) if i in OFF_IMAGE else None
        pixels, geometry = crop(frame, box, factor, out, target)
        assert zlib.crc32(pixels.tobytes()) == crc, f"box {i} {box}"
        np.testing.assert_array_equal(geometry[:2], box[:2] + box[2:] / 2)
        assert geometry[2] == golden[f"f{factor}_s{out}_resize_factor"][i, 1]


@pytest.mark.parametrize("i", OFF_IMAGE)
def test_box_off_the_image_is_an_error_and_not_a_patch(golden, frame, i):
    with pytest.raises(SpotError, match="outside the 640 x 480 image"):
        crop(frame, golden["boxes"][i], 4, 256)


@sizes
def test_boxes_equal_to_the_bit(golden, factor, out):
    key = f"f{factor}_s{out}"
    boxes, truth = torch.tensor(golden["boxes"]), torch.tensor(golden["gt"])
    resize = torch.tensor(out / crop_side(golden["boxes"], factor), dtype=torch.float32)
    geometry = torch.cat([boxes[:, :2] + boxes[:, 2:] / 2, resize[:, None]], 1)

    in_crop = to_crop(truth, geometry, out)
    torch.testing.assert_close(in_crop, torch.tensor(golden[f"{key}_box_crop"]), rtol=0, atol=0)

    back = to_image(in_crop, geometry, out)
    published = torch.tensor(golden[f"{key}_box_recovered"])
    # put right: the published inverse clamps x, y, w, h at 0 one by one, ours leaves clipping to clip_boxes
    torch.testing.assert_close(back.clamp(min=0), published, rtol=0, atol=0)


def test_clipping_keeps_the_far_corner_where_the_published_clamp_moves_it(golden):
    boxes = golden["gt"].astype(np.float64)
    clipped = clip_boxes(boxes, WIDTH, HEIGHT)
    clamped = np.maximum(boxes, 0)
    left = (boxes[:, 0] < 0) & (boxes[:, 0] + boxes[:, 2] > 0)
    assert left.sum() > 5
    far = boxes[left, 0] + boxes[left, 2]
    np.testing.assert_allclose(clipped[left, 0] + clipped[left, 2], np.minimum(far, WIDTH), atol=1e-9)
    assert (clamped[left, 0] + clamped[left, 2] > far).all()


@requires_shared
def test_full_crops_and_image_equal_the_shared_file(frame):
    with np.load(GOLDEN / "a_crop.npz") as golden:
        np.testing.assert_array_equal(frame.pixels, golden["image"])
        np.testing.assert_allclose(frame.mean, golden["avg"], rtol=0, atol=0)
        for i, expected in zip(golden["f4_s256_full_idx"], golden["f4_s256_full"], strict=True):
            pixels, _ = crop(frame, golden["boxes"][i], 4, 256, target=np.array([0, 0, 1, 1]))
            np.testing.assert_array_equal(pixels, expected)
