"""Dropout on a CPU, of attention weights and of other numbers: the plain formula, with less memory and faster."""

import pytest
import torch
from torch import nn

from spot.architectures.transt import attention
from spot.architectures.transt.attention import Attention, Dropout, sliced_attention


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, 3, n, 8, dtype=torch.float64, generator=generator, requires_grad=True) for n in (20, 30, 30, 20)
    ]


def plain(q, k, v, keep, dropout):
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return (weights * keep / (1 - dropout)) @ v


@pytest.mark.parametrize("slice_maps", [1, 4, 100])  # a slice each, an uneven last one, one for all
def test_values_and_gradients_are_those_of_the_plain_formula(inputs, slice_maps, monkeypatch):
    """The mask is read off the result: with the identity for values the result is the masked weights themselves."""
    q, k, v, grad = inputs
    monkeypatch.setattr(attention, "SLICE_BYTES", slice_maps * 20 * 30 * 8)
    torch.manual_seed(1)
    masked = sliced_attention(q, k, torch.eye(30, dtype=torch.float64).expand(2, 3, 30, 30), 0.25)
    torch.manual_seed(1)
    out = sliced_attention(q, k, v, 0.25)
    expected = plain(q, k, v, masked.detach() != 0, 0.25)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-13)
    ours, theirs = (torch.autograd.grad(o, (q, k, v), grad) for o in (out, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_each_weight_is_dropped_with_the_given_probability(dropout):
    """Over 300 x 300 weights, at every place alike, the borders of the slice included, and independently."""
    size = 300
    torch.manual_seed(0)
    equal = torch.zeros(1, size, size)
    dropped = sliced_attention(equal, equal, torch.eye(size)[None], dropout)[0] == 0
    deviation = (dropout * (1 - dropout)) ** 0.5
    assert dropped.float().mean() == pytest.approx(dropout, abs=5 * deviation / size)
    for part in (dropped[:, 0], dropped[:, -1], dropped[0], dropped[-1]):
        assert part.float().mean() == pytest.approx(dropout, abs=5 * deviation / size**0.5)
    pairs = (dropped[:, 1:] & dropped[:, :-1]).float().mean()
    assert pairs == pytest.approx(dropout**2, abs=5 * dropout / size)


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_each_number_is_dropped_with_the_given_probability(dropout):
    torch.manual_seed(0)
    size, numbers = 300, torch.full((300, 300), 3.0, requires_grad=True)
    left = Dropout(dropout)(numbers)
    dropped = left == 0
    deviation = (dropout * (1 - dropout)) ** 0.5
    assert dropped.float().mean() == pytest.approx(dropout, abs=5 * deviation / size)
    torch.testing.assert_close(left[~dropped], torch.full_like(left[~dropped], 3 / (1 - dropout)))
    left.sum().backward()
    torch.testing.assert_close(numbers.grad, left.detach() / 3)


def test_numbers_are_dropped_in_training_alone_anew_each_time_and_follow_from_the_seed():
    numbers, module = torch.ones(4, 1000), Dropout(0.2)
    torch.manual_seed(2)
    first, second = module(numbers), module(numbers)
    torch.manual_seed(2)
    assert torch.equal(module(numbers), first)
    assert not torch.equal(first, second)
    assert torch.equal(module.eval()(numbers), numbers)
    for all_or_none in (0.0, 1.0):
        assert torch.equal(Dropout(all_or_none)(numbers), numbers * (1 - all_or_none))


def test_masks_differ_from_call_to_call_and_follow_from_the_seed(inputs):
    q, k, v, _ = inputs
    torch.manual_seed(2)
    first, second = sliced_attention(q, k, v, 0.3), sliced_attention(q, k, v, 0.3)
    torch.manual_seed(2)
    assert torch.equal(sliced_attention(q, k, v, 0.3), first)
    assert not torch.equal(first, second)


def test_without_dropout_it_is_torchs_own():
    torch.manual_seed(0)
    ours = Attention(16, 4, dropout=0.5).double().eval()
    theirs = nn.MultiheadAttention(16, 4, dropout=0.5, batch_first=True).double().eval()
    theirs.load_state_dict(ours.state_dict())
    query, key, value = (torch.randn(3, n, 16, dtype=torch.float64) for n in (5, 7, 7))
    torch.testing.assert_close(ours(query, key, value), theirs(query, key, value)[0], rtol=0, atol=1e-14)


def test_training_keeps_no_map_of_queries_and_keys():
    """What made a step need gigabytes."""
    module = Attention(16, 2, dropout=0.1).train()
    x = torch.randn(2, 64, 16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        module(x, x, x).sum().backward()
    assert max(kept) < 2 * 2 * 64 * 64
    torch.manual_seed(0)
    trained = module(x, x, x)
    torch.manual_seed(0)
    assert torch.equal(module(x, x, x), trained)
    assert not torch.allclose(trained, module.eval()(x, x, x))
