"""Windows, best cells, and sums and counts of losses that all architectures share."""

import numpy as np
import pytest
import torch

from spot.architectures.backbones.small_cnn import SmallCNN
from spot.architectures.base import (
    Candidates,
    Terms,
    TrackerLoss,
    TrackerNetwork,
    best_cell,
    hann_window,
    mean_terms,
    rows,
)
from spot.architectures.ocean.loss import OceanLoss
from spot.architectures.ocean.network import Ocean, OceanPrediction
from spot.architectures.transt.loss import TransTLoss
from spot.architectures.transt.network import TransT


def test_window_is_the_outer_product_of_symmetric_hann_windows() -> None:
    hann = np.hanning(25)
    np.testing.assert_allclose(hann_window(25), np.outer(hann, hann).ravel(), atol=1e-6)


@pytest.mark.parametrize(
    ("weight", "cell", "score"),
    [
        pytest.param(0.0, 0, 0.9, id="scores alone: the best cell in the corner"),
        pytest.param(1.0, 12, 1.0, id="window alone: the centre"),
        pytest.param(0.5, 12, 0.6, id="blend: the centre's lower score wins"),
    ],
)
def test_best_cell_blends_score_and_window(weight: float, cell: int, score: float) -> None:
    scores = torch.full((1, 25), 0.1)
    scores[0, 0], scores[0, 12] = 0.9, 0.2
    boxes = torch.arange(100.0).view(1, 25, 4)
    best = best_cell(Candidates(scores, boxes, scores / 2), hann_window(5), weight)
    assert best.cell.tolist() == [cell]
    assert best.score.item() == pytest.approx(score, abs=1e-6)
    assert best.box.tolist() == [boxes[0, cell].tolist()]
    assert best.confidence.item() == pytest.approx(scores[0, cell].item() / 2)


def test_best_cells_of_a_batch_are_independent() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.9]])
    candidates = Candidates(scores, torch.rand(2, 4, 4), torch.rand(2, 4))
    best = best_cell(candidates, hann_window(2), 0.0)
    assert best.cell.tolist() == [0, 3]
    assert torch.equal(best.box, candidates.boxes[[0, 1], [0, 3]])


def test_rows_keep_what_is_absent() -> None:
    part = rows(OceanPrediction(torch.rand(4, 9, 1), torch.rand(4, 9, 4), torch.rand(4, 9)), 1, 3)
    assert part.logits.shape == (2, 9, 1)
    assert part.align is None


def test_total_weighs_each_term_that_is_there() -> None:
    class Loss(TrackerLoss):
        weights = {"class": 2.0, "box": 3.0, "iou": 100.0}  # noqa: RUF012

        def forward(self, *_: object, **__: object) -> Terms:
            raise NotImplementedError

    assert Loss().total({"class": torch.tensor(1.0), "box": torch.tensor(10.0)}).item() == 32.0


def small_transt() -> tuple[TrackerNetwork, TrackerLoss]:
    return TransT(SmallCNN((8, 8, 8), (0, 0)), 32, 64, d_model=8, heads=2, layers=1, ffn=8), TransTLoss(64)


def small_ocean() -> tuple[TrackerNetwork, TrackerLoss]:
    network = Ocean(SmallCNN((8, 8, 8), (0, 0)), 64, 96, grid=7, template_margin=1, channels=8, tower_depth=1)
    return network, OceanLoss(7, 8, 96)


@pytest.mark.parametrize("kept", [9, 1], ids=["9 of 24 kept", "1 of 24 kept"])
@pytest.mark.parametrize("make", [small_transt, small_ocean])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(make, kept: int) -> None:
    """As DistributedDataParallel does it: each process's gradient by its own loss, and then their mean."""
    torch.manual_seed(0)
    network, loss = make()
    network, loss = network.double().eval(), loss.double()
    boxes = torch.cat([torch.rand(24, 2) * 20 + 8, torch.rand(24, 2) * 20 + 10], dim=1).double()
    keep = torch.zeros(24, dtype=torch.bool)
    keep[torch.randperm(24)[:kept]] = True
    batch = [*network.export_inputs(24), boxes, keep]
    parameters = list(network.parameters())

    def gradient(parts: list[list[torch.Tensor]]) -> tuple[float, torch.Tensor]:
        terms = [loss(network(*inputs), boxes, keep, train_iou=True) for *inputs, boxes, keep in parts]
        seen: list[torch.Tensor] = []
        for part in terms:
            mean_terms(part, lambda weights: (seen.append(weights), weights)[1])
        over_all = torch.stack(seen).mean(0)
        total = torch.stack([loss.total(mean_terms(part, lambda _: over_all)) for part in terms]).mean()
        found = torch.autograd.grad(total, parameters, allow_unused=True)
        return total.item(), torch.cat([g.flatten() for g in found if g is not None])

    value, whole = gradient([batch])
    assert value == loss.total(mean_terms(loss(network(*batch[:3]), boxes, keep, train_iou=True))).item()
    for processes in (2, 4):
        split_value, split = gradient([[part[i::processes] for part in batch] for i in range(processes)])
        assert split_value == pytest.approx(value, rel=1e-9)
        assert (split - whole).norm() / whole.norm() < 1e-6
