"""Quick convolutions are PyTorch's own."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from spot.architectures import convolution as room
from spot.architectures.convolution import Conv2d, quick_convolutions, winograd


def inputs(batch, channels, outputs, height, width, dtype=torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = (batch, channels, height, width), (outputs, channels, 3, 3), (outputs,)
    return [torch.randn(size, dtype=dtype, generator=generator).requires_grad_() for size in sizes]


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 3),
    outputs=st.integers(1, 3),
    size=st.tuples(st.integers(7, 14), st.integers(7, 14)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    slices=st.booleans(),
)
def test_winograd_is_the_convolution_and_has_its_gradients(batch, channels, outputs, size, dilation, padding, slices):
    x, weight, bias = inputs(batch, channels, outputs, *size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "SLICE_BYTES", 1 if slices else 1 << 30)
        ours = winograd(x, weight, bias, padding, dilation)
        theirs = F.conv2d(x, weight, bias, 1, padding, dilation)
        torch.testing.assert_close(ours, theirs)
        grad = torch.randn_like(theirs)
        found, wanted = (torch.autograd.grad(y, (x, weight, bias), grad) for y in (ours, theirs))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("size", "tile", "times"), [(16, 4, 8), (15, 5, 16)])
def test_winograd_rounds_a_few_times_worse_than_the_plain_sum(size, tile, times):
    x, weight, bias = (t.detach() for t in inputs(2, 256, 256, size, size, torch.float32))
    assert room._tiling(x, (1, 1), (1, 1)).tile == tile
    weight = weight / 48
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    plain, ours = (
        (y - exact).square().mean().sqrt()
        for y in (F.conv2d(x, weight, bias, padding=1), winograd(x, weight, bias, (1, 1), (1, 1)))
    )
    assert ours < times * plain
    assert ours < 1e-5


@pytest.mark.parametrize(
    ("size", "padding", "dilation", "tiling"),
    [
        pytest.param(25, (1, 1), (1, 1), (5, 5, 5, 25, 25), id="Ocean's towers"),
        pytest.param(31, (0, 0), (2, 1), (5, 3, 6, 27, 29), id="Ocean's encodings"),
        pytest.param(32, (2, 2), (2, 2), (4, 4, 4, 32, 32), id="TransT's last stage"),
    ],
)
def test_tiles_are_of_fewest_products(size, padding, dilation, tiling):
    assert room._tiling(torch.empty(1, 1, size, size), padding, dilation)[:5] == tiling


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 5, 1),
        nn.Conv2d(3, 5, 1, stride=2, bias=False),
        nn.Conv2d(3, 5, 1, padding=1),
        nn.Conv2d(4, 6, 1, groups=2),
        nn.Conv2d(3, 5, 3, padding=1),
        nn.Conv2d(3, 5, 3, padding=2, dilation=(1, 2), bias=False),
        nn.Conv2d(3, 5, 3, padding=3),
        nn.Conv2d(3, 5, 3, padding="same"),
        nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 5, 3, stride=2),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv2d(3, 5, 7, stride=2, padding=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_quick_layer_is_the_layer(layer, memory_format, monkeypatch):
    monkeypatch.setattr(room, "MIN_CHANNELS", 1)
    monkeypatch.setattr("spot.architectures.linear.MIN_WEIGHTS", 1)
    quick = quick_convolutions(nn.Sequential(copy.deepcopy(layer)))
    assert type(quick[0]) is Conv2d
    x = torch.randn(2, layer.in_channels, 9, 11).contiguous(memory_format=memory_format)
    ours, theirs = quick(x), layer(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    grad = torch.randn_like(theirs)
    found, wanted = (torch.autograd.grad(y, net.parameters(), grad) for y, net in ((ours, quick), (theirs, layer)))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    quick[0].prepare()
    with torch.no_grad():
        torch.testing.assert_close(quick(x), theirs, rtol=1e-4, atol=1e-5)


def test_which_layers_take_which_way(monkeypatch):
    taken = []
    monkeypatch.setattr(room, "winograd", lambda *_: taken.append("winograd"))
    monkeypatch.setattr(room, "linear", lambda x, weight, bias: taken.append("linear") or x)
    layers = [nn.Conv2d(256, 256, 3), nn.Conv2d(255, 256, 3), nn.Conv2d(256, 256, 1), nn.Conv2d(8, 8, 1)]
    wide, narrow, point, small = quick_convolutions(nn.ModuleList(layers))
    wide(torch.zeros(1, 256, 4, 4))
    narrow(torch.zeros(1, 255, 4, 4))
    small(torch.zeros(1, 8, 4, 4))
    point(torch.zeros(1, 256, 4, 4))
    wide.double()(torch.zeros(1, 256, 4, 4, dtype=torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        point(torch.zeros(1, 256, 4, 4))
    assert taken == ["winograd", "linear"]


@pytest.mark.parametrize("shape", [(0, 256, 5, 5), (256, 5, 5)], ids=["an empty batch", "no batch"])
@pytest.mark.parametrize("size", [1, 3])
def test_batches_that_are_none(shape, size):
    layer = nn.Conv2d(256, 256, size, padding=size // 2)
    quick = quick_convolutions(nn.Sequential(copy.deepcopy(layer)))
    x = torch.randn(shape)
    torch.testing.assert_close(quick(x), layer(x), rtol=1e-4, atol=1e-5)


def test_an_exported_network_takes_any_batch():
    network = quick_convolutions(nn.Sequential(nn.Conv2d(256, 256, 3), nn.Conv2d(256, 256, 1)))
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(network, (torch.randn(2, 256, 5, 5),), dynamic_shapes=(batch,))
    x = torch.randn(3, 256, 5, 5)
    torch.testing.assert_close(program.module()(x), network(x), rtol=1e-4, atol=1e-5)


def test_names_and_values_of_weights_stay():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 5, 1)))
    before = copy.deepcopy(network.state_dict())
    torch.testing.assert_close(quick_convolutions(network).state_dict(), before)
