"""The Ocean network: what its parts mean, whatever its weights."""

import math

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import box_convert, box_iou

from spot.architectures.base import best_cell, cell_positions, hann_window, mean_terms, rows
from spot.architectures.ocean.loss import OceanLoss
from spot.architectures.ocean.network import (
    Ocean,
    OceanPrediction,
    correlate,
    tap_offsets,
)
from spot.runtime.errors import SpotError
from tests.paths import ROOT

SIDE, GRID = 63, 3  # a search crop of 7 x 7 cells and a template of 5 x 5


class Patches(nn.Module):
    """Unpadded 15 x 15 patches every 8 pixels."""

    channels = 6

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, self.channels, 15, stride=8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).relu()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Ocean(Patches(), 63, SIDE, grid=GRID, template_margin=1, channels=8, tower_depth=1).eval()


@pytest.fixture
def crops():
    torch.manual_seed(1)
    return torch.randn(3, 3, 63, 63), torch.zeros(3, 4), torch.randn(3, 3, SIDE, SIDE)


def test_shapes_and_ranges(network, crops):
    prediction = network(*crops)
    assert [tuple(t.shape) for t in prediction] == [(3, 9, 1), (3, 9, 4), (3, 9), (3, 9)]
    candidates = network.candidates(prediction)
    assert (candidates.boxes[..., 2:] > 0).all()
    for share in (candidates.scores, candidates.ious):
        assert ((share > 0) & (share < 1)).all()


def test_instances_do_not_see_each_other(network, crops):
    """The correlation folds the batch into groups of one convolution: every instance must meet its own template."""
    together = network(*crops)
    for i in range(3):
        alone = network(*(part[i : i + 1] for part in crops))
        for a, b in zip(rows(together, i, i + 1), alone, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_template_is_encoded_once_and_for_all(network, crops):
    """Its whole part, the weights of the three encodings included, is in the features."""
    features = network.encode_template(*crops[:2])
    expected = network(*crops)
    for parameter in network.cls_match.template.parameters():
        nn.init.zeros_(parameter)
    nn.init.normal_(network.cls_match.weight)
    for a, b in zip(network.predict(features, crops[2]), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_correlation_is_that_of_the_definition(network):
    """Against a plain loop over instances, channels, rows and columns."""
    search, kernel = torch.randn(2, 3, 5, 6), torch.randn(2, 3, 2, 3)
    expected = torch.zeros(2, 3, 4, 4)
    for b in range(2):
        for c in range(3):
            for i in range(4):
                for j in range(4):
                    expected[b, c, i, j] = (search[b, c, i : i + 2, j : j + 3] * kernel[b, c]).sum()
    torch.testing.assert_close(correlate(search, kernel), expected, rtol=1e-5, atol=1e-5)


def test_candidates_measure_from_the_cells_and_blend_two_scores(network):
    """Cell 5 of a 3 x 3 grid is in row 1, column 2: 8 pixels right of the centre pixel 31."""
    logits, align = torch.full((1, 9, 1), -1.0), torch.full((1, 9), 2.0)
    distances = torch.tensor([10.0, 20.0, 30.0, 5.0]).expand(1, 9, 4)
    candidates = network.candidates(OceanPrediction(logits, distances, torch.zeros(1, 9), align))
    assert candidates.boxes[0, 5].tolist() == [39 - 10, 31 - 20, 40, 25]
    expected = 0.94 * torch.tensor(-1.0).sigmoid() + 0.06 * torch.tensor(2.0).sigmoid()
    torch.testing.assert_close(candidates.scores[0, 5], expected)


def test_without_the_align_head_the_class_scores_alone(crops):
    """Neither its weights nor its loss term nor its share of the score remain."""
    torch.manual_seed(0)
    network = Ocean(Patches(), 63, SIDE, grid=GRID, template_margin=1, channels=8, tower_depth=1, align=False).eval()
    assert not [key for key in network.state_dict() if key.startswith("align")]
    prediction = network(*crops)
    assert prediction.align is None
    torch.testing.assert_close(network.candidates(prediction).scores, prediction.logits.squeeze(-1).sigmoid())
    loss = OceanLoss(grid=GRID, search_size=SIDE)
    boxes = torch.tensor([[20.0, 20, 30, 30]]).expand(3, 4)
    assert loss(prediction, boxes, torch.ones(3, dtype=torch.bool), train_iou=True).keys() == {"class", "box", "iou"}


def test_cells_of_the_published_sizes():
    """Index * 8 + 127 - 96 (docs/method.md section 6), x before y."""
    cells = cell_positions(25, 8, 255).view(25, 25, 2)
    assert cells[0, 0].tolist() == [31, 31]
    assert cells[12, 12].tolist() == [127, 127]
    assert cells[3, 20].tolist() == [191, 55]


def test_tap_offsets_are_those_of_the_specification():
    """docs/method.md section 6 word for word, with grids and indices, which `tap_offsets` cancels."""
    torch.manual_seed(0)
    distances = 1 + 80 * torch.rand(2, 4, 25, 25)
    cells = cell_positions(25, 8, 255).view(25, 25, 2).permute(2, 0, 1)
    x1, y1 = cells[0] - distances[:, 0], cells[1] - distances[:, 1]
    x2, y2 = cells[0] + distances[:, 2], cells[1] + distances[:, 3]
    i, j = torch.meshgrid(torch.arange(25), torch.arange(25), indexing="ij")
    expected = []
    for ky in (-1, 0, 1):
        for kx in (-1, 0, 1):
            expected.append(ky * ((y2 - y1 + 1) / 16 - 1) + ((y1 + y2) / 2 - 127.5) / 8 + 12 - i)
            expected.append(kx * ((x2 - x1 + 1) / 16 - 1) + ((x1 + x2) / 2 - 127.5) / 8 + 12 - j)
    offsets = tap_offsets(distances, stride=8, shift=-1 / 16)
    torch.testing.assert_close(offsets, torch.stack(expected, dim=1), rtol=0, atol=1e-5)


def gradient_of(network: Ocean, output: torch.Tensor) -> set[str]:
    """Parts of the network that an output moves."""
    network.zero_grad()
    output.square().sum().backward()
    return {
        name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }


def test_the_iou_head_looks_on_and_the_align_head_moves_the_boxes(network, crops):
    prediction = network(*crops)
    assert gradient_of(network, prediction.ious) == {"iou_tower", "iou_pred"}
    moved = gradient_of(network, network(*crops).align)
    assert {"box_pred", "box_scale", "box_bias", "box_tower", "backbone"} <= moved  # through its tap offsets too
    assert not {"cls_tower", "cls_match", "iou_tower"} & moved


def test_distances_are_bounded(network, crops):
    nn.init.constant_(network.box_bias, 100.0)
    assert network(*crops).boxes.max().item() == pytest.approx(109.947, abs=1e-3)


def test_a_wrong_grid_is_refused(crops):
    network = Ocean(Patches(), 63, SIDE, grid=5, template_margin=1, channels=8, tower_depth=1)
    with pytest.raises(SpotError, match=r"network\.grid=5: these sizes give 3 cells a side"):
        network(*crops)


def test_constants_are_no_weights(network):
    assert not {"cells", "pixel_mean", "pixel_std"} & set(network.state_dict())


def test_autocast_keeps_boxes_in_single_precision(network, crops):
    """bfloat16 has eight bits of mantissa: a distance of 100 pixels would be rounded to half a pixel."""
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        prediction = network(*crops)
    assert {tensor.dtype for tensor in prediction} == {torch.float32}
    sum(tensor.sum() for tensor in prediction).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    with torch.no_grad():
        exact = network(*crops)
    torch.testing.assert_close(prediction.boxes, exact.boxes, rtol=0.05, atol=0.05)


def test_boxes_start_at_the_first_distance(network, crops):
    """Where the scale is 0, the bias alone speaks; published networks start at e pixels."""
    nn.init.zeros_(network.box_scale)
    torch.testing.assert_close(network(*crops).boxes, torch.full((3, 9, 4), math.e))


@pytest.mark.slow
def test_the_tiny_configuration_is_small_and_learns():
    """Forty steps on four squares that differ from their background: the boxes found must come to lie on them."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        arch = compose("train", ["arch=ocean_tiny", "data=synthetic"]).arch
        torch.manual_seed(0)
        network, loss, recipe = (instantiate(arch[part]) for part in ("network", "loss", "recipe"))
    template, search = torch.zeros(4, 3, 63, 63), torch.zeros(4, 3, 127, 127)
    boxes = torch.tensor([[40.0, 40, 32, 32], [70, 50, 30, 30], [50, 70, 24, 34], [30, 60, 40, 24]])
    for i, (x, y, w, h) in enumerate(boxes.int().tolist()):
        template[i, :, 16:48, 16:48] = 1
        search[i, :, y : y + h, x : x + w] = 1
    with FlopCounterMode(display=False) as counter:
        network(template[:1], boxes[:1], search[:1])
    assert counter.get_total_flops() < 0.17e9

    optimizer = recipe.optimizer(network.parameters(), lr=recipe.lr)
    keep = torch.ones(4, dtype=torch.bool)
    for _ in range(40):
        optimizer.zero_grad()
        terms = loss(network(template, boxes, search), boxes, keep, train_iou=True)
        loss.total(mean_terms(terms)).backward()
        optimizer.step()
    with torch.no_grad():
        best = best_cell(network.candidates(network(template, boxes, search)), hann_window(network.grid), 0.0)
    overlap = box_iou(box_convert(best.box, "xywh", "xyxy"), box_convert(boxes, "xywh", "xyxy")).diag()
    assert overlap.min() > 0.6
    assert (best.confidence - overlap).abs().max() < 0.3  # the IoU head has not died


def test_compiles_without_graph_breaks(network, crops):
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for a, b in zip(compiled(*crops), network(*crops), strict=True):
        torch.testing.assert_close(a, b)
