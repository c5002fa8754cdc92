"""Augmentation equals the published one: pixels moved, boxes bounded, brightness; faults put right are shown."""

import numpy as np
import pytest
import torch

from spot.architectures.base import IMAGENET_MEAN, IMAGENET_STD
from spot.data.augmentation import LUMA, photometric, rotate_flip
from tests.paths import GOLDEN, PARITY_DATA, requires_shared


@pytest.fixture(scope="module")
def boxes() -> dict[str, torch.Tensor]:
    with np.load(PARITY_DATA / "augment.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "f_augment.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def rotated_boxes(given: torch.Tensor, angle: torch.Tensor, flip: torch.Tensor, size: int) -> torch.Tensor:
    images = torch.zeros(len(angle), 1, size, size, dtype=torch.uint8)
    fill = torch.zeros(len(angle), 1)
    return rotate_flip(images, given.expand(len(angle), 4), angle, flip, fill)[1]


def assert_published(ours: torch.Tensor, published: torch.Tensor) -> int:
    """Equal wherever the published box was not moved by its clamp at 0; returns how many were not."""
    kept = (published[:, :2] > 0).all(1)
    torch.testing.assert_close(ours[kept], published[kept], rtol=0, atol=5e-5)
    return int(kept.sum())


def test_fixed_rotations_and_flips_of_boxes(boxes):
    angle, flip = boxes["er_cases"][:, 0] + 180 * boxes["er_cases"][:, 2], boxes["er_cases"][:, 1].bool()
    compared = 0
    for box, published in zip(boxes["er_boxes"][:2], boxes["er_out_boxes"].unbind(1), strict=False):
        compared += assert_published(rotated_boxes(box, angle, flip, 64), published)
    assert compared == 37


def test_drawn_rotations_and_flips_of_boxes(boxes):
    flip = boxes["er256_lr_flip"]
    ours = rotated_boxes(boxes["er256_boxes"], boxes["er256_angle"], flip, 256)
    assert assert_published(ours, boxes["er256_out_boxes"]) == 196


def test_a_box_over_the_edge_stays_whole_where_the_published_one_is_moved(boxes):
    """Case 4 of the file: rotated by 10 degrees, the left end of the second box leaves the crop."""
    case, box = boxes["er_cases"][4], boxes["er_boxes"][1]
    published = boxes["er_out_boxes"][4, 1]
    ours = rotated_boxes(box, case[:1], case[1:2].bool(), 64)[0]
    assert published[0] == 0
    assert -2 < ours[0] < -0.5
    torch.testing.assert_close(ours[1:], published[1:], rtol=0, atol=5e-5)


@requires_shared
def test_rotated_and_flipped_images(golden):
    cases = golden["er_cases"]
    images = golden["er_image"].expand(len(cases), 3, 64, 64)
    fill = golden["er_avg"][:1].float().expand(len(cases), 3)
    angle, flip = cases[:, 0] + 180 * cases[:, 2], cases[:, 1].bool()
    ours, _ = rotate_flip(images, torch.zeros(len(cases), 4), angle, flip, fill)
    torch.testing.assert_close(ours, golden["er_out_image"], rtol=0, atol=1e-6)


@requires_shared
def test_brightness_then_normalisation(golden):
    ours = photometric(golden["np_in"], golden["np_brightness"])
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close((ours - mean) / std, golden["np_out"], rtol=0, atol=1e-6)


@requires_shared
def test_grey_is_the_sum_that_the_published_code_forgot(golden):
    published = golden["gs_out0"] / golden["gs_in0"]
    greyed = (published - 1).abs().amax((1, 2, 3)) > 1e-3
    assert greyed.tolist() == [False, True, False, False]
    for weight, channel in zip(LUMA, published[1], strict=True):
        torch.testing.assert_close(channel, torch.full_like(channel, weight), rtol=1e-4, atol=1e-5)

    images = golden["np_in"]
    everything = torch.ones(len(images), dtype=torch.bool)
    ours = photometric(images, torch.ones(len(images)), everything)
    weighed = images / 255 * torch.tensor(LUMA)[:, None, None]
    torch.testing.assert_close(ours, weighed.sum(1, keepdim=True).expand_as(ours), rtol=0, atol=1e-6)
