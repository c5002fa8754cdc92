"""Ocean's criterion where the golden data does not reach: masks, empty sets, gradients, the two centres."""

import math

import pytest
import torch
from torch.nn import functional as F

from spot.architectures.base import mean_terms
from spot.architectures.ocean.loss import OceanLoss
from spot.architectures.ocean.network import OceanPrediction

BOXES = torch.tensor([[100.0, 90, 60, 70], [20, 40, 90, 50], [127, 127, 30, 30], [200, 10, 40, 60]])
OUTSIDE = torch.tensor([[400.0, 400, 20, 20]])  # no cell is inside it or near its centre


@pytest.fixture
def loss():
    return OceanLoss()


def predict(count: int, seed: int = 0) -> OceanPrediction:
    """Random outputs for `count` crops, leaves of the graph."""
    generator = torch.Generator().manual_seed(seed)
    logits, distances = (torch.randn(count, 625, n, generator=generator) for n in (1, 4))
    ious, align = (torch.rand(count, 625, generator=generator) for _ in range(2))
    return OceanPrediction(*(t.requires_grad_() for t in (logits, (3 + distances / 2).exp(), ious, align)))


def gradients(prediction: OceanPrediction) -> list[torch.Tensor]:
    return [torch.zeros_like(t) if t.grad is None else t.grad for t in prediction]


@pytest.mark.parametrize("train_iou", [True, False], ids=["labelled", "pseudo"])
@pytest.mark.parametrize("spoilt", [0.0, math.nan], ids=["any box", "no box at all"])
def test_masked_instances_count_as_removed(loss, train_iou, spoilt):
    keep = torch.tensor([True, False, True, False])
    boxes = torch.where(keep[:, None], BOXES, spoilt)
    masked, removed = predict(4), predict(4)
    terms = mean_terms(loss(masked, boxes, keep, train_iou))
    expected = mean_terms(
        loss(OceanPrediction(*(t[keep] for t in removed)), BOXES[keep], torch.ones(2, dtype=torch.bool), train_iou)
    )
    assert terms.keys() == expected.keys() == {"class", "box", "align"} | ({"iou"} if train_iou else set())
    for name in terms:
        torch.testing.assert_close(terms[name], expected[name])
    loss.total(terms).backward()
    loss.total(expected).backward()
    for a, b in zip(gradients(masked), gradients(removed), strict=True):
        torch.testing.assert_close(a, b)


def test_none_kept_gives_zeros_with_zero_gradients(loss):
    prediction = predict(4)
    terms = mean_terms(loss(prediction, BOXES, torch.zeros(4, dtype=torch.bool), train_iou=True))
    assert {name: term.item() for name, term in terms.items()} == {"class": 0, "box": 0, "align": 0, "iou": 0}
    loss.total(terms).backward()
    assert not any(gradient.any() for gradient in gradients(prediction))  # nor NaN, which counts as True


def test_without_a_positive_cell_the_negatives_still_teach(loss):
    """The published class term is 0 then; its box term is 0 too, and its IoU term NaN."""
    prediction = predict(1)
    terms = mean_terms(loss(prediction, OUTSIDE, torch.ones(1, dtype=torch.bool), train_iou=True))
    torch.testing.assert_close(terms["class"], F.softplus(prediction.logits).mean() / 2)
    torch.testing.assert_close(terms["align"], F.softplus(prediction.align).mean())
    assert terms["box"] == terms["iou"] == 0
    loss.total(terms).backward()
    assert all(gradient.isfinite().all() for gradient in gradients(prediction))


def test_a_lone_positive_cell_counts(loss):
    """The published criterion drops it: its class term is the negatives' half alone."""
    lone = torch.tensor([[127.5 + 8 * 12 - 10, 127.5 + 8 * 14 - 10, 20, 20]])  # two rows below the grid's last cell
    positive = loss.positive(lone)
    assert positive.nonzero().tolist() == [[0, 624]]
    prediction = predict(1)
    logits = prediction.logits.squeeze(-1)
    terms = mean_terms(loss(prediction, lone, torch.ones(1, dtype=torch.bool), train_iou=False))
    expected = (F.softplus(-logits[0, 624]) + F.softplus(logits[0, :624]).mean()) / 2
    torch.testing.assert_close(terms["class"], expected)


def test_class_labels_take_the_centre_at_half_the_side_and_boxes_at_the_centre_pixel(loss):
    """A target centred on 135.4 is 7.9 pixels from 127.5 (middle cell) and 8.4 from 127 (next cell)."""
    boxes = torch.tensor([[135.4 - 20, 127.5 - 20, 40, 40]])
    positive = loss.positive(boxes).view(25, 25)
    assert positive.sum() == 13
    assert positive[12, 10:15].all()
    assert positive[10:15, 12].all()
    distances = loss.distances(boxes).view(25, 25, 4)[12, 12]
    torch.testing.assert_close(distances, torch.tensor([11.6, 19.5, 28.4, 20.5]))


def test_who_moves_what(loss):
    """The align label carries gradient into the boxes, as published; the IoU head's label does not."""
    for name, moved in (("align", {"boxes", "align"}), ("iou", {"ious"}), ("box", {"boxes"}), ("class", {"logits"})):
        prediction = predict(4)
        mean_terms(loss(prediction, BOXES, torch.ones(4, dtype=torch.bool), train_iou=True))[name].backward()
        assert {field for field, t in prediction._asdict().items() if t.grad is not None and t.grad.any()} == moved


def test_a_perfect_prediction_has_no_box_loss_and_pulls_nowhere_else(loss):
    boxes = BOXES[:1]
    distances = loss.distances(boxes).clamp(min=1)
    inside = loss.inside(boxes)
    perfect = OceanPrediction(
        logits=torch.where(loss.positive(boxes), 30.0, -30.0)[..., None],
        boxes=distances,
        ious=inside.float(),
        align=torch.where(inside, 30.0, -30.0),
    )
    terms = mean_terms(loss(perfect, boxes, torch.ones(1, dtype=torch.bool), train_iou=True))
    assert all(term.item() == pytest.approx(0, abs=1e-6) for term in terms.values())


def test_weights_of_the_total():
    terms = {
        "class": torch.tensor(1.0),
        "box": torch.tensor(10.0),
        "align": torch.tensor(100.0),
        "iou": torch.tensor(2.0),
    }
    assert OceanLoss().total(terms).item() == 112
    assert OceanLoss(box_weight=0.0, iou_weight=1.0).total(terms).item() == 103
