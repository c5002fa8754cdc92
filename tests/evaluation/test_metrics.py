"""The torchmetrics shell: same numbers, and sums that add up over processes."""

import numpy as np
import pytest
import torch

from spot.evaluation.metrics import OnePassMetric
from spot.evaluation.one_pass import score
from spot.evaluation.protocols import get_protocol
from spot.runtime.errors import SpotError
from tests.evaluation.helpers import truth_from, wandering


@pytest.fixture
def videos():
    rng = np.random.default_rng(0)
    truth = [wandering(rng, n) for n in (30, 20, 25)]
    return truth, [boxes + rng.normal(0, 4, boxes.shape) * [1, 1, 0.1, 0.1] for boxes in truth]


@pytest.mark.parametrize("protocol", ["pysot", "got10k"])
def test_equals_the_functional_core(videos, protocol):
    truth, predicted = videos
    metric = OnePassMetric(protocol)
    for true, boxes in zip(truth, predicted, strict=True):
        metric.update(torch.from_numpy(boxes), torch.from_numpy(true))
    expected = score(truth_from(truth), np.concatenate(predicted), get_protocol(protocol)).summary()
    for key, value in metric.compute().items():
        assert float(value) == pytest.approx(expected[key], abs=1e-12), key


def test_states_of_processes_add_up(videos):
    truth, predicted = videos
    whole, parts = OnePassMetric(), [OnePassMetric() for _ in range(2)]
    for i, (true, boxes) in enumerate(zip(truth, predicted, strict=True)):
        whole.update(torch.from_numpy(boxes), torch.from_numpy(true))
        parts[i % 2].update(torch.from_numpy(boxes), torch.from_numpy(true))
    summed = OnePassMetric()
    for name in ("values", "weights"):
        setattr(summed, name, sum(getattr(part, name) for part in parts))
    summed._update_count = 1
    for key, value in whole.compute().items():
        assert float(summed.compute()[key]) == pytest.approx(float(value)), key


def test_reset_forgets(videos):
    metric = OnePassMetric()
    metric.update(torch.from_numpy(videos[1][0]), torch.from_numpy(videos[0][0]))
    metric.reset()
    metric.update(torch.from_numpy(videos[0][1]), torch.from_numpy(videos[0][1]))
    assert float(metric.compute()["ao"]) == pytest.approx(1)


def test_hidden_frames_do_not_count_in_average_overlap():
    truth = torch.tensor([[0.0, 0, 10, 10]] * 3)
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 10, 10], [50, 0, 10, 10]])
    metric = OnePassMetric()
    metric.update(boxes, truth, torch.tensor([True, True, False]))
    assert float(metric.compute()["ao"]) == pytest.approx(1 / 3, abs=1e-6)


def test_as_many_boxes_as_frames():
    with pytest.raises(SpotError, match="2 predicted rows for 3 true ones"):
        OnePassMetric().update(torch.ones(2, 4), torch.ones(3, 4))
