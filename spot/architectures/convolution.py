"""Convolutions that are fast on CPUs too: 1x1 ones as linear maps, 3x3 ones by Winograd's algorithm.

Winograd's F(4x4, 3x3) computes a tile of 4 x 4 outputs from 6 x 6 inputs with 36 products instead of 144, F(5x5, 3x3)
one of 5 x 5 with 49 instead of 225, between linear maps of inputs, weights and outputs (Lavin and Gray, Fast Algorithms
for Convolutional Neural Networks, CVPR 2016). Rounding errors are six and thirteen times those of the plain sum. GPUs'
libraries choose such algorithms themselves; PyTorch has none for x86 processors.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spot.architectures.linear import has_quick_product, linear, runs_on_cpu

Network = TypeVar("Network", bound=nn.Module)
Pair = tuple[int, int]

MIN_CHANNELS = 256  # from which on the products outweigh the maps around them
SLICE_BYTES = 64 << 20  # of tiles at a time

# Outputs of a tile, a side -> where polynomials are evaluated, besides infinity: small fractions that round little.
POINTS = {4: (0, 1, -1, 1 / 2, -2), 5: (0, 1, -1, 1 / 2, -1 / 2, 3)}

_ONE_BY_ONE = [0, 0], [1, 1], [1, 1]  # padding, stride, dilation


def quick_convolutions(network: Network) -> Network:
    """The network itself, channels-last, with its convolutions turned into those of this module; weights stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = Conv2d
    return network.to(memory_format=torch.channels_last)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, same parameters, same function."""

    prepared: dict[int, tuple[int, Tensor]] | None = None

    def prepare(self) -> None:
        """From now on keep the weights' maps, four to five times their size, for inference: they must not change any more."""
        self.prepared = {}

    @property
    def _is_winograd(self) -> bool:
        return (
            self.kernel_size == (3, 3)
            and self.stride == (1, 1)
            and self.groups == 1
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and all(p <= 2 * d for p, d in zip(self.padding, self.dilation, strict=True))
            and min(self.in_channels, self.out_channels) >= MIN_CHANNELS
        )

    @property
    def _is_pointwise(self) -> bool:
        return self.kernel_size == (1, 1) and self.groups == 1 and self.padding == (0, 0)

    def forward(self, input: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H', W'); B may be missing, or 0."""
        if input.dim() == 4 and runs_on_cpu(input, self.weight) and len(input):
            if self._is_winograd:
                return self._by_winograd(input)
            if self._is_pointwise and has_quick_product(input, self.weight):
                rows, columns = self.stride
                pixels = input[:, :, ::rows, ::columns].permute(0, 2, 3, 1)
                return linear(pixels, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        return super().forward(input)

    def _by_winograd(self, input: Tensor) -> Tensor:
        where: Any = self.padding, self.dilation
        if self.prepared is None:
            return winograd(input, self.weight, self.bias, *where)
        tiling = _tiling(input, *where)
        weight = self._kept(self.prepared, tiling.tile, len(input) * tiling.tiles)
        return _convolve(input, weight, self.out_channels, self.bias, tiling)

    def _kept(self, prepared: dict[int, tuple[int, Tensor]], tile: int, tiles: int) -> Tensor:
        """The mapped weight, packed for the most tiles that there have been: search crops, not templates."""
        if tile not in prepared or tiles > prepared[tile][0]:
            prepared[tile] = tiles, _packed(_map_weight(self.weight.detach(), tile), tiles)
        return prepared[tile][1]


def winograd(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:
    """A 3x3 convolution of stride 1, as `torch.nn.functional.conv2d`.

    Args:
        x: (B, C, H, W), best channels-last.
        weight: (O, C, 3, 3).
        bias: (O,).
        padding: zeros above and below, left and right; at most twice the dilation.
        dilation: of rows and columns.

    Returns:
        (B, O, H', W'), channels-last.
    """
    return _Winograd.apply(x, weight, bias, padding, dilation)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.tiling = _tiling(x, padding, dilation)
        return _convolve(x, _map_weight(weight, ctx.tiling.tile), len(weight), bias, ctx.tiling)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias, *_ = ctx.needs_input_grad
        into_x: Tensor | None = None
        if for_x:
            (top, left), (dy, dx) = ctx.tiling.padding, ctx.tiling.dilation
            tiling = _tiling(grad, (2 * dy - top, 2 * dx - left), (dy, dx))
            turned = _map_weight(weight.flip(2, 3).transpose(0, 1), tiling.tile)
            into_x = _convolve(grad, turned, x.shape[1], None, tiling)
        into_weight = _weight_gradient(x, grad, ctx.tiling) if for_weight else None
        return into_x, into_weight, grad.sum((0, 2, 3)) if for_bias else None, None, None


class Tiling(NamedTuple):
    """How outputs are cut into tiles. With a dilation, rows (and columns) that are so far apart are a grid of their own.

    Attributes:
        tile: outputs of a tile, a side.
        rows, columns: of tiles, in each of the dilation's grids.
        height, width: of the outputs.
        padding, dilation: of the convolution.
    """

    tile: int
    rows: int
    columns: int
    height: int
    width: int
    padding: Pair
    dilation: Pair

    @property
    def span(self) -> int:
        """Inputs of a tile, a side."""
        return self.tile + 2

    @property
    def tiles(self) -> int:
        """Of an image."""
        return self.rows * self.columns * math.prod(self.dilation)

    @property
    def products(self) -> int:
        """Of an image, for each input and output channel."""
        return self.tiles * self.span**2


def _tiling(x: Tensor, padding: Pair, dilation: Pair) -> Tiling:
    """The one of fewest products."""
    height, width = (n + 2 * p - 2 * d for n, p, d in zip(x.shape[2:], padding, dilation, strict=True))

    def cut(tile: int) -> Tiling:
        rows, columns = -(-height // (tile * dilation[0])), -(-width // (tile * dilation[1]))
        return Tiling(tile, rows, columns, height, width, padding, dilation)

    return min(map(cut, POINTS), key=lambda tiling: tiling.products)


def _convolve(x: Tensor, weight: Tensor, outputs: int, bias: Tensor | None, tiling: Tiling) -> Tensor:
    """With a mapped weight (span ** 2, O, C), or such a one packed; `outputs` is O."""
    _, rows, columns, height, width, _, (dy, dx) = tiling
    out = x.new_empty(len(x), height, width, outputs)
    maps = _maps(tiling.tile, x.dtype)
    for part, result in zip(*(t.split(_slice_size(x, outputs, tiling)) for t in (x, out)), strict=True):
        tiles = _tiles(part, tiling, tiling.span, tiling.padding)
        if weight.is_mkldnn:
            mapped = _map(maps.input, tiles.flatten(0, 4))
            cut = (len(part), rows, dy, columns, dx, tiling.tile, tiling.tile, outputs)
            image = _map(maps.output, _packed_products(mapped, weight)).view(cut).permute(0, 1, 5, 2, 3, 6, 4, 7)
        else:
            mapped = _map(maps.input, _tiles_last(tiles))
            products = torch.bmm(mapped.view(tiling.span**2, -1, x.shape[1]), weight.mT)
            cut = (tiling.tile, tiling.tile, len(part), rows, dy, columns, dx, outputs)
            image = (
                _map(maps.output, products.view(tiling.span, tiling.span, -1)).view(cut).permute(2, 3, 0, 4, 5, 1, 6, 7)
            )
        image = image.reshape(len(part), rows * tiling.tile * dy, -1, outputs)[:, :height, :width]
        if bias is None:
            result.copy_(image)
        else:
            torch.add(image, bias, out=result)
    return out.permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, grad: Tensor, tiling: Tiling) -> Tensor:
    """(O, C, 3, 3)."""
    total: Tensor | None = None
    maps = _maps(tiling.tile, x.dtype)
    for part, part_grad in zip(*(t.split(_slice_size(x, grad.shape[1], tiling)) for t in (x, grad)), strict=True):
        mapped = _map(maps.input, _tiles_last(_tiles(part, tiling, tiling.span, tiling.padding)))
        wanted = _map(maps.output.t(), _tiles_last(_tiles(part_grad, tiling, tiling.tile, (0, 0))))
        mapped, wanted = (side.view(tiling.span**2, -1, t.shape[1]) for side, t in ((mapped, x), (wanted, grad)))
        total = torch.bmm(wanted.mT, mapped) if total is None else total.baddbmm_(wanted.mT, mapped)
    assert total is not None
    into_weight = _map(maps.weight.t(), total.view(tiling.span, tiling.span, -1))
    return into_weight.view(3, 3, *total.shape[1:]).permute(2, 3, 0, 1)


def _slice_size(x: Tensor, outputs: int, tiling: Tiling) -> int:
    """Images whose tiles of inputs and outputs fit into SLICE_BYTES, about as many in each slice."""
    fit = max(1, SLICE_BYTES // (tiling.products * (x.shape[1] + outputs) * x.element_size()))
    return -(-len(x) // -(-len(x) // fit))


def _tiles(x: Tensor, tiling: Tiling, span: int, padding: Pair) -> Tensor:
    """Pixels of (B, C, H, W) images, tile by tile: a view (B, rows, dy, columns, dx, span, span, C)."""
    (top, left), (dy, dx) = padding, tiling.dilation
    below = dy * (tiling.tile * (tiling.rows - 1) + span) - x.shape[2] - top
    right = dx * (tiling.tile * (tiling.columns - 1) + span) - x.shape[3] - left
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, right, top, below))
    apart = padded.unflatten(2, (-1, dx)).unflatten(1, (-1, dy))
    return apart.unfold(1, span, tiling.tile).unfold(3, span, tiling.tile).movedim(5, -1)


def _tiles_last(tiles: Tensor) -> Tensor:
    """To (span, span, numbers), which suits many tiles."""
    return tiles.permute(5, 6, 0, 1, 2, 3, 4, 7).reshape(*tiles.shape[5:7], -1)


def _packed_products(tiles: Tensor, weight: Tensor) -> Tensor:
    """(tiles, span, span, C) by a packed weight to (tiles, span, span, O)."""
    count, span, _, channels = tiles.shape
    pixels = tiles.view(1, count, 1, span**2 * channels).permute(0, 3, 1, 2)
    out = torch.ops.mkldnn._convolution_pointwise(pixels, weight, None, *_ONE_BY_ONE, span**2, "none", [], "")
    return out.permute(0, 2, 3, 1).reshape(count, span, span, -1)


def _packed(weight: Tensor, tiles: int) -> Tensor:
    """(n, O, C) as oneDNN keeps the weight of a convolution in n groups, best for about so many tiles.

    Where tiles are few, a product is over before a weight is in order. PyTorch's compiler uses the same operators; where
    they are absent, the weight is turned.
    """
    if not hasattr(torch.ops.mkldnn, "_reorder_convolution_weight"):
        return weight.mT.contiguous().mT
    groups, outputs, channels = weight.shape
    kernel = weight.reshape(groups * outputs, channels, 1, 1)
    return torch.ops.mkldnn._reorder_convolution_weight(kernel, *_ONE_BY_ONE, groups, [1, groups * channels, tiles, 1])


def _map_weight(weight: Tensor, tile: int) -> Tensor:
    """(O, C, 3, 3) to (span ** 2, O, C)."""
    mapped = _map(_maps(tile, weight.dtype).weight, weight.permute(2, 3, 0, 1).reshape(3, 3, -1))
    return mapped.view(-1, *weight.shape[:2])


def _map(matrix: Tensor, tiles: Tensor) -> Tensor:
    """(..., m, m, numbers) to (..., n, n, numbers), by a matrix (n, m) on either side."""
    halfway = torch.matmul(matrix, tiles.flatten(-2)).unflatten(-1, tiles.shape[-2:])
    return torch.matmul(matrix, halfway)


class Maps(NamedTuple):
    """Linear maps along one side of a tile of t outputs: (n, n) of its n = t + 2 inputs, (n, 3) of weights, (t, n) of products."""

    input: Tensor
    weight: Tensor
    output: Tensor


@cache
def _maps(tile: int, dtype: torch.dtype) -> Maps:
    """Those of Toom and Cook, transposed: polynomials are multiplied by their values at n - 1 points and their leading terms."""
    points = np.array(POINTS[tile], np.float64)
    others = [np.delete(points, i) for i in range(len(points))]
    input = np.zeros((tile + 2, tile + 2))
    for row, roots in zip(input, [*others, points], strict=True):
        row[: len(roots) + 1] = np.poly(roots)[::-1]
    scale = np.array([np.prod(point - roots) for point, roots in zip(points, others, strict=True)])
    weight = np.vstack([np.vander(points, 3, increasing=True) / scale[:, None], [0, 0, 1]])
    output = np.vstack([np.vander(points, tile, increasing=True), np.eye(tile)[-1]]).T
    return Maps(*(torch.from_numpy(side.copy()).to(dtype) for side in (input, weight, output)))
