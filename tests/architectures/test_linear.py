"""Linear maps by oneDNN are PyTorch's own."""

import pytest
import torch
from torch.nn import functional as F

from spot.architectures import linear as room
from spot.architectures.linear import MIN_WEIGHTS, Linear, linear


@pytest.fixture(autouse=True)
def small_weights_too(monkeypatch):
    monkeypatch.setattr(room, "MIN_WEIGHTS", 1)


def inputs(*shape: int, outputs: int = 7) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = shape, (outputs, shape[-1]), (outputs,)
    return [torch.randn(size, generator=generator).requires_grad_() for size in sizes]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_values_and_gradients(shape, relu):
    x, weight, bias = inputs(*shape)
    ours, theirs = linear(x, weight, bias, relu), F.linear(x, weight, bias)
    theirs = theirs.relu() if relu else theirs
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn_like(theirs)
    found, wanted = (torch.autograd.grad(y, (x, weight, bias), grad) for y in (ours, theirs))
    torch.testing.assert_close(found, wanted)


def test_without_bias_and_of_a_view():
    x, weight, _ = inputs(5, 6)
    torch.testing.assert_close(linear(x.t()[:, :5], weight[:, :5]), F.linear(x.t()[:, :5], weight[:, :5]))


def test_only_asked_for_gradients():
    x, weight, bias = inputs(4, 5)
    (grad,) = torch.autograd.grad(linear(x.detach(), weight, bias.detach()).sum(), weight)
    torch.testing.assert_close(grad, x.detach().sum(0).expand_as(weight))


def test_takes_the_operator_on_a_cpu_in_single_precision(monkeypatch):
    x, weight, bias = inputs(4, 5)
    taken = []
    monkeypatch.setattr(room._Linear, "apply", lambda *_: taken.append(True) or torch.zeros(4, 7))
    linear(x, weight, bias)
    assert taken == [True]
    linear(x.double(), weight.double(), bias.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16
    monkeypatch.setattr(room, "MIN_WEIGHTS", MIN_WEIGHTS)
    linear(x, weight, bias)
    assert taken == [True]


def test_layer_compiles_to_one_graph():
    layer = Linear(5, 7)
    graph = torch.export.export(layer, (torch.randn(4, 5),))
    assert "_linear_pointwise" not in str(graph)
