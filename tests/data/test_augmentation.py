"""Augmentation: boxes follow pixels, batches equal single images, nothing waits for the device."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.data.augmentation import photometric, rotate_flip

SIZE = 96


def blob(center: tuple[float, float], sides: tuple[float, float], size: int = SIZE) -> torch.Tensor:
    """(1, 1, size, size) uint8 filled ellipse, its centre in pixel indices."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = ((x - center[0]) / (sides[0] / 2)) ** 2 + ((y - center[1]) / (sides[1] / 2)) ** 2 <= 1
    return (inside * 255).to(torch.uint8)[None, None]


angles = st.sampled_from([*range(-10, 11), *range(170, 191)])


@settings(max_examples=60, deadline=None)
@given(st.floats(35, 60), st.floats(35, 60), st.floats(12, 40), st.floats(12, 40), angles, st.booleans())
def test_box_bounds_the_rotated_blob(x, y, w, h, angle, flip):
    image = blob((x, y), (w, h))
    box = torch.tensor([[x - w / 2, y - h / 2, w, h]])
    warped, moved = rotate_flip(image, box, torch.tensor([angle]), torch.tensor([flip]), torch.zeros(1, 1))
    rows, columns = (warped[0, 0] > 0).nonzero().unbind(1)
    left, top, width, height = moved[0].tolist()
    assert abs(columns.min() - left) < 1.5
    assert abs(rows.min() - top) < 1.5
    assert abs(columns.max() - left - width) < 1.5
    assert abs(rows.max() - top - height) < 1.5
    center = torch.stack([columns.float().mean(), rows.float().mean()])
    before = torch.stack(list(image[0, 0].nonzero().float().mean(0).flip(0))) - torch.tensor([x, y])
    # what the raster does to the blob's centroid before the warp it does after it too
    assert (center - torch.tensor([left + width / 2, top + height / 2])).abs().max() < 0.3 + before.abs().max()


def test_positive_angles_turn_anticlockwise_on_the_screen():
    image = blob((SIZE * 3 / 4, SIZE / 2), (9, 9))
    warped, moved = rotate_flip(
        image, torch.tensor([[67.5, 43.5, 9.0, 9.0]]), torch.tensor([10.0]), torch.tensor([False]), torch.zeros(1, 1)
    )
    assert warped[0, 0].nonzero().float().mean(0)[0] < SIZE / 2 - 3
    assert moved[0, 1] < 43.5 - 3


def test_ellipse_is_tighter_than_the_rotated_rectangle():
    box = torch.tensor([[28.0, 38.0, 40.0, 20.0]])
    _, moved = rotate_flip(
        torch.zeros(1, 3, SIZE, SIZE), box, torch.tensor([10.0]), torch.tensor([False]), torch.zeros(1, 3)
    )
    c, s = math.cos(math.radians(10)), math.sin(math.radians(10))
    exact = [2 * math.hypot(20 * c, 10 * s), 2 * math.hypot(20 * s, 10 * c)]
    assert moved[0, 2:].tolist() == pytest.approx(exact, abs=0.01)
    assert moved[0, 3] < 20 * c + 40 * s - 1


def batch(size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.randint(0, 256, (size, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8),
        "boxes": torch.rand(size, 4, generator=generator) * SIZE / 2,
        "angle": torch.tensor([0.0, 7, -10, 180])[:size],
        "flip": torch.tensor([False, True, True, False])[:size],
        "fill": torch.randint(0, 256, (size, 3), generator=generator, dtype=torch.uint8),
    }


def test_batch_equals_single_images():
    given = batch()
    images, boxes = rotate_flip(**given)
    for i in range(4):
        image, box = rotate_flip(**{name: value[i : i + 1] for name, value in given.items()})
        torch.testing.assert_close(image[0], images[i], rtol=0, atol=0)
        torch.testing.assert_close(box[0], boxes[i], rtol=0, atol=1e-5)


def test_nothing_drawn_changes_nothing():
    given = batch(1)
    images, boxes = rotate_flip(**given)
    torch.testing.assert_close(images, given["images"], rtol=0, atol=0)
    torch.testing.assert_close(boxes, given["boxes"], rtol=0, atol=2e-5)


def test_half_turn_is_a_mirror_about_the_published_centre():
    given = batch()
    images, _ = rotate_flip(**given)
    turned = given["images"][3].flip(1, 2)
    torch.testing.assert_close(images[3, :, 1:, 1:], turned[:, :-1, :-1], rtol=0, atol=0)
    assert (images[3, :, 0] == given["fill"][3, :, None]).all()
    assert (images[3, :, :, 0] == given["fill"][3, :, None]).all()


def test_corners_are_filled():
    given = batch()
    given["images"].zero_()
    given["fill"].fill_(77)
    images, _ = rotate_flip(**given)
    assert (images[1, :, 0, 0] == 77).all()
    assert (images[1, :, SIZE // 2, SIZE // 2] == 0).all()


def test_warp_and_photometric_part_commute():
    """A nearest-neighbour warp moves pixels without mixing them."""
    given = batch()
    brightness, grey = torch.tensor([0.8, 1, 1.2, 0.9]), torch.tensor([False, True, False, True])
    bytes_first = photometric(rotate_flip(**given)[0], brightness, grey)
    fill = photometric(given["fill"][:, :, None, None], brightness, grey).flatten(1)
    floats = photometric(given["images"], brightness, grey)
    floats_first, _ = rotate_flip(**{**given, "images": floats, "fill": fill})
    torch.testing.assert_close(bytes_first, floats_first, rtol=0, atol=1e-7)


def test_photometric_ranges():
    images = torch.tensor([0, 100, 200, 255], dtype=torch.uint8).expand(2, 3, 1, 4)
    out = photometric(images, torch.tensor([1.2, 0.8]), torch.tensor([False, False]))
    expected = torch.tensor([[0, 120, 240, 255], [0, 80, 160, 204]]) / 255
    torch.testing.assert_close(out, expected[:, None, None].expand(2, 3, 1, 4))
    assert out.dtype == torch.float32


def test_only_the_drawn_pairs_turn_grey():
    images = batch()["images"]
    out = photometric(images, torch.ones(4), torch.tensor([False, True, False, True]))
    colour = photometric(images, torch.ones(4))
    torch.testing.assert_close(out[::2], colour[::2], rtol=0, atol=0)
    torch.testing.assert_close(out[1::2].std(1), torch.zeros(2, SIZE, SIZE))


def test_collated_numbers_of_any_type_serve():
    """A loader's collation gives float64 and int64."""
    given = batch()
    whole = {**given, "angle": given["angle"].long(), "fill": given["fill"].double()}
    for ours, expected in zip(rotate_flip(**whole), rotate_flip(**given), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    assert photometric(given["images"], torch.ones(4, dtype=torch.float64)).dtype == torch.float32


def test_boxes_keep_their_precision_under_bf16_autocast():
    given = batch()
    expected = rotate_flip(**given)
    with torch.autocast("cpu", torch.bfloat16):
        ours = rotate_flip(**given)
        floats = photometric(given["images"], torch.ones(4), given["flip"])
    for mine, exact in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, exact, rtol=0, atol=0)
    assert floats.dtype == torch.float32


def test_no_value_is_read_back_to_the_host():
    """Meta tensors hold no values: an `.item()`, a boolean index or a CPU constant among them would raise."""
    given = {name: value.to("meta") for name, value in batch().items()}
    images, boxes = rotate_flip(**given)
    assert photometric(images, given["angle"], given["flip"]).shape == (4, 3, SIZE, SIZE)
    assert boxes.shape == (4, 4)
