"""Windows, best cells and weighted sums that all architectures share."""

import numpy as np
import pytest
import torch

from spot.architectures.base import Candidates, Prediction, TrackerLoss, best_cell, hann_window


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
    part = Prediction(torch.rand(4, 9, 2), torch.rand(4, 9, 4), torch.rand(4, 9)).rows(1, 3)
    assert part.logits.shape == (2, 9, 2)
    assert part.align is None


def test_total_weighs_each_term_that_is_there() -> None:
    class Loss(TrackerLoss):
        weights = {"class": 2.0, "box": 3.0, "iou": 100.0}  # noqa: RUF012

        def forward(self, *_: object, **__: object) -> dict[str, torch.Tensor]:
            raise NotImplementedError

    assert Loss().total({"class": torch.tensor(1.0), "box": torch.tensor(10.0)}).item() == 32.0
