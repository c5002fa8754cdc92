"""The criterion of TransT on small inputs; its numbers are proved in tests/parity/test_transt.py."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

from spot.architectures.base import mean_terms
from spot.architectures.transt.loss import TransTLoss, iou_and_giou, target_cells
from spot.architectures.transt.network import TransTPrediction

GRID = 8


def instances(count: int, seed: int = 0) -> tuple[TransTPrediction, Tensor]:
    """Random predictions that require gradients, and boxes inside a crop of 64 pixels."""
    generator = torch.Generator().manual_seed(seed)
    cells = GRID * GRID
    prediction = TransTPrediction(
        torch.randn(count, cells, 2, generator=generator).requires_grad_(),
        torch.rand(count, cells, 4, generator=generator).requires_grad_(),
        torch.rand(count, cells, generator=generator).requires_grad_(),
    )
    return prediction, torch.rand(count, 4, generator=generator) * 30 + 1


def mask(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


@pytest.mark.parametrize("train_iou", [True, False], ids=["labelled", "pseudo"])
def test_dropped_instances_count_as_if_absent(train_iou: bool) -> None:
    """Terms and gradients equal those of the kept instances alone, whatever the boxes of the dropped ones hold."""
    prediction, boxes = instances(4)
    boxes[1] = torch.nan
    boxes[3] = 0.0
    loss = TransTLoss(search_size=64)
    masked = mean_terms(loss(prediction, boxes, mask(1, 0, 1, 0), train_iou))
    kept = TransTPrediction(*(t[[0, 2]].detach().requires_grad_() for t in prediction[:3]))
    alone = mean_terms(loss(kept, boxes[[0, 2]], mask(1, 1), train_iou))
    assert masked.keys() == alone.keys()
    for name in alone:
        assert masked[name].item() == pytest.approx(alone[name].item(), rel=1e-6), name
    loss.total(masked).backward()
    loss.total(alone).backward()
    for ours, expected in zip(prediction[:3], kept[:3], strict=True):
        if expected.grad is None:
            assert ours.grad is None
        else:
            torch.testing.assert_close(ours.grad[[0, 2]], expected.grad)
            assert not ours.grad[[1, 3]].any()


def test_none_kept_is_zero_with_zero_gradients() -> None:
    prediction, boxes = instances(3)
    loss = TransTLoss(search_size=64)
    terms = mean_terms(loss(prediction, boxes * torch.nan, mask(0, 0, 0), True))
    assert {name: term.item() for name, term in terms.items()} == dict.fromkeys(("class", "box", "giou", "iou"), 0)
    loss.total(terms).backward()
    assert all(torch.equal(t.grad, torch.zeros_like(t)) for t in prediction[:3])


def test_iou_term_trains_the_iou_head_alone() -> None:
    prediction, boxes = instances(2)
    mean_terms(TransTLoss(search_size=64)(prediction, boxes, mask(1, 1), True))["iou"].backward()
    assert prediction.ious.grad.any()
    assert prediction.boxes.grad is None


def test_no_transfer_from_the_device() -> None:
    """Fake tensors have no values: reading one, or a shape that depends on one, would fail here."""
    with FakeTensorMode():
        prediction = TransTPrediction(torch.rand(4, 64, 2), torch.rand(4, 64, 4), torch.rand(4, 64))
        boxes = torch.rand(4, 4)
        loss = TransTLoss(search_size=64)
        total = loss.total(mean_terms(loss(prediction, boxes, torch.ones(4, dtype=torch.bool), True)))
    assert total.shape == ()


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        pytest.param([16, 24, 16, 8], (2, 4), (3, 4), id="borders on cell edges"),
        pytest.param([17, 25, 16, 8], (3, 5), (4, 5), id="both borders round up"),
        pytest.param([20, 20, 1, 1], (3, 4), (3, 4), id="between two cells: still one"),
        pytest.param([-20, -9, 30, 20], (0, 2), (0, 2), id="cut at the top left"),
        pytest.param([50, 50, 90, 90], (7, 8), (7, 8), id="cut at the bottom right"),
        pytest.param([80, 80, 9, 9], (7, 8), (7, 8), id="outside: the nearest cell"),
    ],
)
def test_target_cells(box: list[int], columns: tuple[int, int], rows: tuple[int, int]) -> None:
    inside, ring = (m.view(GRID, GRID) for m in target_cells(torch.tensor([box]) / 64, GRID, ring=1))
    expected = torch.zeros(GRID, GRID, dtype=torch.bool)
    expected[slice(*rows), slice(*columns)] = True
    assert torch.equal(inside, expected)
    around = torch.zeros(GRID, GRID, dtype=torch.bool)
    around[max(rows[0] - 1, 0) : rows[1] + 1, max(columns[0] - 1, 0) : columns[1] + 1] = True
    assert torch.equal(ring, around & ~expected)


def test_iou_and_giou_are_torchvisions() -> None:
    a, b = (box_convert(torch.rand(200, 4), "xywh", "xyxy") for _ in range(2))
    iou, giou = iou_and_giou(a, b)
    torch.testing.assert_close(giou, generalized_box_iou(a, b).diagonal())
    torch.testing.assert_close(1 - giou, generalized_box_iou_loss(a, b), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iou_and_giou(a, a)[0], torch.ones(200))
    assert ((iou >= 0) & (iou <= 1)).all()


def test_degenerate_boxes_have_finite_gradients() -> None:
    boxes = torch.zeros(2, 4).requires_grad_()
    torch.stack(iou_and_giou(boxes, torch.zeros(2, 4))).sum().backward()
    assert boxes.grad.isfinite().all()
