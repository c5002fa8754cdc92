"""SP-Ocean against numbers of the published network, with name-seeded weights.

`data/ocean.npz` holds the published keys and shapes, and double-precision outputs for two instances (golden/c_ocean and
golden/bc_float64, case 1); the inputs are those of the golden data, which are drawn from a seed.
"""

import json

import numpy as np
import pytest
import torch

from spot.architectures.ocean.backbone import OceanResNet50
from spot.architectures.ocean.network import Ocean, OceanPrediction, tap_offsets
from tests.parity.weights import fill
from tests.paths import GOLDEN, PARITY_DATA, requires_shared


@pytest.fixture(scope="module")
def golden():
    return np.load(PARITY_DATA / "ocean.npz")


@pytest.fixture(scope="module")
def network():
    network = Ocean(OceanResNet50(weights="none"))
    fill(network, Ocean.published.published_key)
    return network.eval()


@pytest.fixture(scope="module")
def inputs():
    """Template crops, their boxes (not used) and search crops, rounded as they were stored."""

    def draw(seed: int, side: int) -> torch.Tensor:
        values = np.random.RandomState(seed).standard_normal((2, 3, side, side))
        return torch.from_numpy(values.astype(np.float32).astype(np.float16)).double()

    return draw(101, 127), torch.zeros(2, 4), draw(201, 255)


@pytest.fixture(scope="module")
def prediction(network, inputs):
    network.double()
    with torch.no_grad():
        prediction = network(*inputs)
    network.float()
    return prediction


def rows(maps: np.ndarray) -> torch.Tensor:
    """(B, C, 25, 25) to (B, 625, C)."""
    return torch.from_numpy(maps).flatten(2).transpose(1, 2)


def test_names_and_shapes_are_the_published_ones_but_for_renaming(network, golden):
    ours = {Ocean.published.published_key(key): list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert ours == json.loads(str(golden["keys"]))
    assert len(ours) == len(network.state_dict())  # no two of ours share a published name
    assert sum(p.numel() for p in network.parameters()) == 28_823_890


@pytest.mark.parametrize(
    ("field", "name"),
    [("logits", "pred_logits"), ("boxes", "pred_boxes"), ("ious", "pred_ious"), ("align", "align_logits")],
)
def test_outputs_equal_the_published_ones_in_double_precision(prediction, golden, field, name):
    ours, published = getattr(prediction, field), rows(golden[name])
    torch.testing.assert_close(ours.reshape(published.shape), published, rtol=1e-9, atol=1e-9)


def test_features_equal_the_published_ones(network, inputs, golden):
    """Where the outputs differ, this says whether the backbone, the neck or the rest is at fault."""
    with torch.no_grad():
        search = network.backbone(inputs[2][:1].float())
        template = network.neck(network.backbone(inputs[0][:1].float()))
    torch.testing.assert_close(search[:, :8], torch.from_numpy(golden["search_features"]), rtol=0, atol=1e-3)
    target = template[:, :8, 4:-4, 4:-4]
    torch.testing.assert_close(target, torch.from_numpy(golden["template_features"]), rtol=0, atol=1e-3)


@requires_shared
def test_boxes_in_the_crop_and_tap_offsets_equal_the_published_ones(network):
    exact, single = np.load(GOLDEN / "bc_float64.npz"), np.load(GOLDEN / "c_ocean.npz")
    before, after = rows(exact["ocean_out0_bbox_pred_to_img"]).split(2, dim=-1)
    boxes = torch.cat([before, after - before], dim=-1)
    zeros = torch.zeros(1, 625)
    ours = network.candidates(OceanPrediction(zeros[..., None], rows(exact["ocean_out0_pred_boxes"]), zeros, zeros))
    torch.testing.assert_close(ours.boxes, boxes, rtol=0, atol=1e-9)

    # From the stored single-precision boxes, because the stored offsets are those of them.
    offsets = tap_offsets(torch.from_numpy(single["out0_pred_boxes"]), stride=8, shift=-1 / 16)
    torch.testing.assert_close(rows(offsets.numpy()), torch.from_numpy(single["out0_offset"]), rtol=0, atol=2e-5)
