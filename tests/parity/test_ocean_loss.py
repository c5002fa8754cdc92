"""SP-Ocean's criterion and teacher decoding against the published ones (golden/d_losses, golden/e_teacher)."""

import json

import numpy as np
import pytest
import torch

from spot.architectures.base import best_cell, hann_window, mean_terms
from spot.architectures.distance_loss import distance_iou
from spot.architectures.ocean.loss import OceanLoss
from spot.architectures.ocean.network import Ocean, OceanPrediction
from tests.paths import GOLDEN, requires_shared

pytestmark = requires_shared

PUBLISHED = {"class": "loss_ce", "box": "loss_bbox", "align": "loss_align", "iou": "loss_iou_pred"}


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "d_losses.npz")


@pytest.fixture(scope="module")
def results():
    return json.loads((GOLDEN / "d_losses.json").read_text())["results"]


@pytest.fixture(scope="module")
def boxes(golden):
    return torch.from_numpy(golden["oc_anno"])


def rows(maps: np.ndarray) -> torch.Tensor:
    """(B, C, 25, 25) to (B, 625, C)."""
    return torch.from_numpy(maps).flatten(2).transpose(1, 2)


def outputs(golden, first: int = 0, last: int | None = None) -> OceanPrediction:
    logits, distances, ious = (rows(golden[f"oc_pred_{name}"][first:last]) for name in ("logits", "boxes", "ious"))
    align = rows(golden["oc_align_logits"][first:last])
    return OceanPrediction(logits, distances, ious.squeeze(-1), align.squeeze(-1))


def kept(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_labels_equal_the_published_ones(golden, boxes):
    loss = OceanLoss()
    assert torch.equal(loss.positive(boxes).view(16, 25, 25), torch.from_numpy(golden["oc_cls_label"]).bool())
    assert torch.equal(loss.inside(boxes).view(16, 25, 25), torch.from_numpy(golden["oc_reg_weight"]).bool())
    assert torch.equal(loss.inside(boxes, 0.2).view(16, 25, 25), torch.from_numpy(golden["oc_iou_weight"]).bool())
    distances = torch.from_numpy(golden["oc_reg_label"]).flatten(1, 2)
    torch.testing.assert_close(loss.distances(boxes).double(), distances, rtol=0, atol=2e-5)

    inside = loss.inside(boxes)
    overlap = distance_iou(outputs(golden).boxes, loss.distances(boxes), inside)
    published = torch.from_numpy(golden["oc_align_label"]).flatten(1)
    torch.testing.assert_close(torch.where(inside, overlap, 0).double(), published, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("half", "train_iou"), [("sup", True), ("unsup", False)], ids=["labelled", "pseudo"])
def test_terms_and_gradients_equal_the_published_ones(golden, results, boxes, half, train_iou):
    prediction = OceanPrediction(*(tensor.clone().requires_grad_() for tensor in outputs(golden) if tensor is not None))
    loss = OceanLoss()
    terms = mean_terms(loss(prediction, boxes, kept(16), train_iou))
    published = {ours: results[f"ocean_{half}"][name] for ours, name in PUBLISHED.items() if ours in terms}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(published, rel=1e-5)
    total = loss.total(terms)
    assert total.item() == pytest.approx(results[f"ocean_{half}"]["weighted_total"], rel=1e-5)

    total.backward()
    for field, name in (("logits", "logits"), ("boxes", "boxes"), ("align", "align"), ("ious", "ious")):
        gradient = getattr(prediction, field).grad
        if field == "ious" and not train_iou:
            assert gradient is None
            continue
        expected = rows(golden[f"oc_{half}_grad_{name}"])  # of the boxes only the first six are stored
        gradient = gradient.view(16, 625, -1)[: len(expected)]
        scale = expected.abs().max().item()
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-5 * scale)


def test_each_instance_alone_equals_the_published_terms_or_is_defined_where_they_are_not(golden, results, boxes):
    """Instance by instance, which also meets the published criterion's gaps.

    Without a positive cell it gives no class term, although there are negatives; with no cell for the IoU head it gives
    NaN. Ours: half the mean over the negatives, and 0.
    """
    loss = OceanLoss()
    gaps = {"class": [], "iou": []}
    for i, published in enumerate(results["ocean_per_sample_sup"]):
        prediction = outputs(golden, first=i, last=i + 1)
        terms = mean_terms(loss(prediction, boxes[i : i + 1], kept(1), train_iou=True))
        if results["ocean_per_sample_num_pos_cls"][i] == 0:
            assert published["loss_ce"] == 0
            negatives = torch.nn.functional.softplus(prediction.logits).mean()
            torch.testing.assert_close(terms.pop("class"), negatives / 2, rtol=1e-5, atol=0)
            gaps["class"].append(i)
        if np.isnan(published["loss_iou_pred"]):
            assert terms.pop("iou").item() == 0
            gaps["iou"].append(i)
        expected = {name: published[PUBLISHED[name]] for name in terms}
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert gaps == {"class": [5, 6, 10, 11, 12], "iou": [2, 10, 11, 12]}


def test_teacher_decoding_equals_the_published_one():
    """Box, score and confidence of the best cell.

    The published code then clamps x, y, w and h one by one, which none of these boxes meets; ours does not clip here.
    """
    golden = np.load(GOLDEN / "e_teacher.npz")
    before, after = rows(golden["oc_bbox_pred_to_img"]).split(2, dim=-1)
    backbone = torch.nn.Identity()
    backbone.channels = 1
    network = Ocean(backbone, channels=1, tower_depth=1)
    distances = torch.cat([network.cells - before, after - network.cells], dim=-1)
    prediction = OceanPrediction(
        rows(golden["oc_logits"]), distances, rows(golden["oc_ious"]).squeeze(-1), rows(golden["oc_align"]).squeeze(-1)
    )
    best = best_cell(network.candidates(prediction), hann_window(25), window_weight=0.30)
    torch.testing.assert_close(best.score, torch.from_numpy(golden["oc_best_score"]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(best.confidence, torch.from_numpy(golden["oc_best_conf"]), rtol=0, atol=0)
    torch.testing.assert_close(best.box, torch.from_numpy(golden["oc_best_bbox"]), rtol=0, atol=1e-4)
