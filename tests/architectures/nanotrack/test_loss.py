"""NanoTrack's criterion in the cases that the published one gets wrong, and by hand."""

import pytest
import torch

from spot.architectures.base import mean_terms
from spot.architectures.distance_loss import distance_iou
from spot.architectures.nanotrack.loss import NanoLoss
from spot.architectures.nanotrack.network import NanoPrediction

CELLS = 256


def prediction(instances: int) -> NanoPrediction:
    generator = torch.Generator().manual_seed(0)
    logits, distances, ious = (
        torch.randn(instances, CELLS, size, generator=generator, requires_grad=True) for size in (2, 4, 1)
    )
    return NanoPrediction(logits, (distances / 2 + 3).exp(), ious.squeeze(-1).sigmoid())


def terms(found: NanoPrediction, boxes: torch.Tensor, keep: list[bool], train_iou: bool = True) -> dict:
    return mean_terms(NanoLoss()(found, boxes, torch.tensor(keep), train_iou))


BOXES = torch.tensor([[96.0, 88, 64, 82], [20.0, 10, 210, 220], [125.0, 125, 6, 5]])


def test_a_target_smaller_than_a_cell_has_one_positive_cell_the_nearest():
    loss = NanoLoss()
    positive, negative = loss.labels(torch.tensor([[132.0, 132, 4, 4]]))
    (cell,) = positive[0].nonzero().flatten().tolist()
    assert loss.cells[cell].tolist() == [127.0, 127.0]
    assert not (positive & negative).any()
    assert negative.sum() == CELLS - 1


def test_a_dropped_instance_counts_as_if_it_were_not_there():
    found = prediction(3)
    kept = NanoPrediction(*(part[:2] for part in found))
    all_three, two = terms(found, BOXES, [True, True, False]), terms(kept, BOXES[:2], [True, True])
    assert all_three.keys() == two.keys()
    for name in two:
        torch.testing.assert_close(all_three[name], two[name])


def test_no_instance_kept_gives_zero_with_a_defined_gradient():
    found = prediction(1)
    values = terms(found, BOXES[:1], [False])
    assert all(float(value) == 0 for value in values.values())
    sum(values.values()).backward()


def test_large_targets_count_for_sixteen_cells():
    """A mean over the images' cells would let a large target outweigh small ones."""
    found, loss = prediction(2), NanoLoss()
    positive, _ = loss.labels(BOXES[:2])
    small, large = (int(count) for count in positive.sum(1))
    assert small < 16 < large
    overlap = 1 - distance_iou(found.distances, loss.distances(BOXES[:2]))
    means = [overlap[i][positive[i]].mean() for i in range(2)]
    expected = (small * means[0] + 16 * means[1]) / (small + 16)
    torch.testing.assert_close(terms(found, BOXES[:2], [True, True])["box"], expected)


def test_overlap_of_boxes_about_a_common_cell_by_hand():
    found = distance_iou(torch.tensor([[[1.0, 1, 1, 1]]]), torch.tensor([[[-1.0, 1, 3, 1]]]))
    # the target begins where the box ends: 2 x 2 and 2 x 2 pixels side by side
    assert float(found) == pytest.approx(1 / 9)
