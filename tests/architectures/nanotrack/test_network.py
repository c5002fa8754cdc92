"""NanoTrack's network: shapes, modes, gradients, and what it refuses."""

import pytest
import torch
from torch import nn

from spot.architectures.base import cell_positions, mean_terms, rows
from spot.architectures.nanotrack.loss import NanoLoss
from spot.architectures.nanotrack.network import NanoTrack
from spot.runtime.errors import SpotError

SMALL = {"template_size": 63, "search_size": 127}


def norms(network: NanoTrack) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.fixture(params=[1, 2])
def network(request) -> NanoTrack:
    torch.manual_seed(0)
    return NanoTrack(request.param, **SMALL)


def test_outputs_have_a_row_a_cell_and_boxes_lie_around_their_cells(network):
    prediction = network.eval()(*network.export_inputs(2))
    cells = network.grid**2
    assert [tuple(part.shape) for part in prediction] == [(2, cells, 2), (2, cells, 4), (2, cells)]
    found = network.candidates(prediction)
    low, high = found.boxes[..., :2], found.boxes[..., :2] + found.boxes[..., 2:]
    assert ((low < network.cells) & (network.cells < high)).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_sizes_of_the_published_networks():
    counts = []
    for version in (1, 2):
        parameters = dict(NanoTrack(version).named_parameters())
        counts.append(sum(p.numel() for key, p in parameters.items() if not key.startswith("iou_head.")))
    assert counts == [190_520 + 97_446, 190_520 + 143_558]


def test_the_grid_is_lopsided_as_published():
    assert cell_positions(16, 16, 255)[:, 0].unique().tolist() == [16.0 * i - 1 for i in range(16)]


def test_the_iou_head_moves_itself_alone(network):
    network.train()
    prediction = network(*network.export_inputs(2))
    boxes = torch.tensor([[30.0, 30, 60, 60]]).expand(2, 4)
    loss = NanoLoss(grid=network.grid, search_size=network.search_size)
    terms = mean_terms(loss(prediction, boxes, torch.ones(2, dtype=torch.bool), True))
    terms["iou"].backward()
    moved = {key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"iou_head"}


def test_frozen_and_folded_norms_stay_in_evaluation_mode(network):
    assert all(norm.training for norm in norms(network.train()))
    network.freeze_norms = True
    assert not any(norm.training for norm in norms(network.train()))
    network.freeze_norms = False
    for norm in norms(network):
        norm.running_var.fill_(1 - norm.eps)
    assert not any(norm.training for norm in norms(network.train()))


def test_the_backbone_is_frozen_in_the_first_epochs(network):
    network.frozen_epochs = 2
    network.train()
    for epoch, moves in ((1, False), (2, True)):
        network.begin_epoch(epoch)
        network.zero_grad(set_to_none=True)
        rows(network(*network.export_inputs(2)), 0, 1).logits.sum().backward()
        assert any(p.grad is not None for p in network.backbone.parameters()) == moves
        assert any(norm.training for norm in norms(network.backbone)) == moves


def test_an_unknown_version_is_refused():
    with pytest.raises(SpotError, match="versions 1, 2"):
        NanoTrack(3)
