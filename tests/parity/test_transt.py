"""SP-TransT equals the published network: names, outputs, losses and decoding (docs/method.md section 6).

`data/transt.npz` is an excerpt of golden/b_transt, bc_float64, d_losses and e_teacher: every output cell of one
instance (every eighth where the template is tracked), the losses' inputs, and their gradients as sub-sampled there.
"""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert

from spot.architectures.backbones.resnet import ResNet50
from spot.architectures.base import best_cell, hann_window, mean_terms, rows
from spot.architectures.transt.loss import TransTLoss, target_cells
from spot.architectures.transt.network import TransT, TransTPrediction
from tests.parity.weights import fill
from tests.paths import PARITY_DATA

TERMS = {"class": "loss_ce", "box": "loss_bbox", "giou": "loss_giou", "iou": "loss_iou_pred"}


@pytest.fixture(scope="module")
def golden() -> Iterator[dict[str, np.ndarray]]:
    with np.load(PARITY_DATA / "transt.npz") as file:
        yield dict(file)


@pytest.fixture(scope="module")
def text(golden: dict[str, np.ndarray]) -> dict:
    return json.loads(str(golden["text"]))


@pytest.fixture(scope="module")
def network() -> TransT:
    """The published sizes with the name-seeded weights, in evaluation mode."""
    network = TransT(ResNet50(weights="none")).eval()
    fill(network, TransT.published.published_key)
    return network


def crops(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Template, its box (not used) and search crop of the golden data, which were made and stored as half-precision noise."""

    def noise(seed: int, size: int) -> Tensor:
        values = np.random.RandomState(seed).standard_normal((1, 3, size, size))
        return torch.from_numpy(values.astype(np.float32)).half().to(dtype)

    return noise(100, 128), torch.zeros(1, 4, dtype=dtype), noise(200, 256)


def assert_cells_equal(
    prediction: TransTPrediction, golden: dict, prefix: str, step: int = 1, **tolerance: float
) -> None:
    for name, atol in tolerance.items():
        expected = golden[f"{prefix}_{name}"]
        ours = getattr(prediction, name)[0, ::step].numpy().reshape(expected.shape)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=atol, err_msg=name)


def test_state_is_the_published_one_but_for_names(network: TransT, text: dict) -> None:
    ours = {TransT.published.published_key(key): list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert ours == text["shapes"]
    assert sum(p.numel() for p in network.parameters()) == 23_147_847


def test_float32_outputs(network: TransT, golden: dict) -> None:
    """These weights amplify rounding: the tolerances are those that golden/bc_float64.json recommends."""
    with torch.no_grad():
        prediction = network(*crops(torch.float32))
    assert_cells_equal(prediction, golden, "out0", logits=0.056889, boxes=0.007103, ious=0.009029)


def test_float64_outputs(network: TransT, golden: dict) -> None:
    """A template that was encoded once gives the published forward() as well as its template() and track()."""
    double = TransT(ResNet50(weights="none")).double().eval()
    double.load_state_dict(network.state_dict())
    template, boxes, search = crops(torch.float64)
    with torch.no_grad():
        prediction = double.predict(double.encode_template(template, boxes), search)
    assert_cells_equal(prediction, golden, "out0", logits=1e-6, boxes=1e-6, ious=1e-6)
    assert_cells_equal(prediction, golden, "track0", step=8, logits=1e-6, boxes=1e-6)


def loss_inputs(golden: dict) -> tuple[TransTPrediction, Tensor]:
    logits, boxes, ious = (
        torch.from_numpy(golden[f"loss_{name}"].copy()).requires_grad_() for name in ("logits", "boxes", "ious")
    )
    targets = box_convert(torch.from_numpy(golden["loss_targets"]), "cxcywh", "xywh") * 256
    return TransTPrediction(logits, boxes, ious), targets


@pytest.mark.parametrize("tag", ["sup", "unsup"], ids=["labelled: IoU head trained", "pseudo: without it"])
def test_loss_terms_and_gradients(golden: dict, text: dict, tag: str) -> None:
    leaves, targets = loss_inputs(golden)
    prediction = leaves._replace(ious=leaves.ious.squeeze(2))
    criterion = TransTLoss()
    terms = mean_terms(criterion(prediction, targets, torch.ones(6, dtype=torch.bool), train_iou=tag == "sup"))
    expected = text["losses"][f"transt_{tag}"]
    assert {TERMS[name] for name in terms} == set(expected) & set(TERMS.values())
    for name, term in terms.items():
        assert term.item() == pytest.approx(expected[TERMS[name]], rel=1e-5), name
    total = criterion.total(terms)
    assert total.item() == pytest.approx(expected["weighted_total"], rel=1e-5)
    total.backward()
    for name in ("logits", "boxes", "ious"):
        grad, published = getattr(leaves, name).grad, golden.get(f"grad_{tag}_{name}")
        if published is None:
            assert grad is None, name
        else:
            atol = 1e-5 * np.abs(published).max()
            np.testing.assert_allclose(grad[:, ::8], published, rtol=1e-5, atol=atol, err_msg=name)


@pytest.mark.parametrize("row", range(6))
def test_loss_terms_of_single_instances(golden: dict, text: dict, row: int) -> None:
    """Boxes from less than a cell to more than the crop, inside it and across its border."""
    leaves, targets = loss_inputs(golden)
    prediction = rows(leaves._replace(ious=leaves.ious.squeeze(2)), row, row + 1)
    terms = mean_terms(
        TransTLoss()(prediction, targets[row : row + 1], torch.ones(1, dtype=torch.bool), train_iou=True)
    )
    for name, term in terms.items():
        expected = text["losses"]["transt_per_sample_sup"][row][TERMS[name]]
        assert term.item() == pytest.approx(expected, rel=1e-5), name


def test_target_cells(golden: dict) -> None:
    _, targets = loss_inputs(golden)
    inside, ring = target_cells(targets / 256, grid=32, ring=3)
    np.testing.assert_array_equal(inside, golden["inside"])
    np.testing.assert_array_equal(ring, golden["ring"])


def test_teacher_decoding(network: TransT, golden: dict) -> None:
    """Best cell under the window, where the published decoder clamps x and y at 0, and w and h at 1, number by number.

    That shifts a box which leaves the crop; ours stays whole here and is clipped as a box later (docs/method.md section 3).
    """
    logits, boxes, ious = (torch.from_numpy(golden[f"teacher_{name}"]) for name in ("logits", "boxes", "ious"))
    best = best_cell(network.candidates(TransTPrediction(logits, boxes, ious.squeeze(2))), hann_window(32), 0.4)
    np.testing.assert_allclose(best.score, golden["teacher_best_score"], rtol=1e-6)
    np.testing.assert_array_equal(best.confidence, golden["teacher_best_conf"])
    leaves = (best.box[:, :2] < 0).any(dim=1)
    assert leaves.tolist() == [True, False, True, False]
    published = golden["teacher_best_bbox"]
    np.testing.assert_allclose(best.box[~leaves], published[~leaves], rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(best.box[leaves].clamp(min=0), published[leaves], rtol=1e-6, atol=1e-4)
