"""Ocean's schedule against docs/method.md section 4."""

import math

import pytest
import torch

from spot.training.schedules import WarmupLogDecay


def schedule(epochs: int) -> WarmupLogDecay:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (5e-3, 5e-4)]
    return WarmupLogDecay(torch.optim.SGD(groups), epochs=epochs)


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [
        (0, 1e-3),  # first warm-up step
        (6, 1e-3),  # a schedule step lasts 7 of 350 epochs
        (7, 1e-3 * 5 ** (1 / 5)),  # second warm-up step
        (34, 1e-3 * 5 ** (4 / 5)),  # last epoch of the warm-up
        (35, 5e-3),  # the decay starts at its peak
        (42, math.exp(math.log(5e-3) + (math.log(1e-5) - math.log(5e-3)) / 44)),  # log-spaced
        (349, 1e-5),  # and ends at the last of 45
    ],
)
def test_rate_at_boundaries(epoch, rate):
    assert schedule(350).rate(epoch) == pytest.approx(rate, rel=1e-12)


def test_groups_keep_their_ratio_and_resume_exactly():
    whole = schedule(50)
    rates = []
    for _ in range(50):
        rates.append([g["lr"] for g in whole.optimizer.param_groups])
        whole.optimizer.step()
        whole.step()
    assert all(slow == pytest.approx(0.1 * fast) for fast, slow in rates)

    first, second = schedule(50), schedule(50)
    for _ in range(20):
        first.optimizer.step()
        first.step()
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert [g["lr"] for g in second.optimizer.param_groups] == rates[20]
    second.optimizer.step()
    second.step()
    assert [g["lr"] for g in second.optimizer.param_groups] == rates[21]
