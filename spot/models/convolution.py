"""Convolutions that are fast on CPUs too: 1x1 ones as linear maps, 3x3 ones by Winograd's algorithm.

Winograd's F(4x4, 3x3) computes a tile of 4 x 4 outputs from 6 x 6 inputs with 36 products instead of 144, between
linear maps of inputs, weights and outputs (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR
2016). Rounding errors are about four times those of the plain sum. GPUs' libraries choose such algorithms themselves;
PyTorch has none for x86 processors.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spot.models.linear import has_quick_product, linear, runs_on_cpu

Network = TypeVar("Network", bound=nn.Module)
Pair = tuple[int, int]

TILE, SPAN = 4, 6  # outputs and inputs of a tile, a side
MIN_CHANNELS = 256  # from which on the products outweigh the maps around them
SLICE_BYTES = 64 << 20  # of tiles at a time

# Of inputs, weights and outputs, along one side.
_INPUT = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
          (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))  # fmt: skip
_WEIGHT = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
           (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))  # fmt: skip
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def quick_convolutions(network: Network) -> Network:
    """The network itself, channels-last, with its convolutions turned into those of this module; weights stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = Conv2d
    return network.to(memory_format=torch.channels_last)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, same parameters, same function."""

    prepared: Tensor | None = None

    def prepare(self) -> None:
        """Keep the weights' map, four times their size, for inference on a CPU: they must not change any more."""
        if self._is_winograd and runs_on_cpu(self.weight):
            self.prepared = _map_weight(self.weight.detach()).mT.contiguous().mT

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
        if input.dim() != 4 or not len(input):
            return super().forward(input)
        if self._is_winograd and runs_on_cpu(input, self.weight):
            where: Any = self.padding, self.dilation
            if self.prepared is not None:
                return _convolve(input, self.prepared, self.bias, *where)
            return winograd(input, self.weight, self.bias, *where)
        if self._is_pointwise and has_quick_product(input, self.weight):
            rows, columns = self.stride
            pixels = input[:, :, ::rows, ::columns].permute(0, 2, 3, 1)
            return linear(pixels, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        return super().forward(input)


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
        ctx.padding, ctx.dilation = padding, dilation
        return _convolve(x, _map_weight(weight), bias, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias, *_ = ctx.needs_input_grad
        into_x: Tensor | None = None
        if for_x:
            turned = _map_weight(weight.flip(2, 3).transpose(0, 1))
            padding = tuple(2 * d - p for p, d in zip(ctx.padding, ctx.dilation, strict=True))
            into_x = _convolve(grad, turned, None, padding, ctx.dilation)
        into_weight = _weight_gradient(x, grad, ctx.padding, ctx.dilation) if for_weight else None
        return into_x, into_weight, grad.sum((0, 2, 3)) if for_bias else None, None, None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:
    """With a mapped weight (36, O, C)."""
    height, width, rows, columns = _extent(x, padding, dilation)
    out = x.new_empty(len(x), height, width, weight.shape[1])
    size = _slice_size(x, rows * columns * math.prod(dilation) * sum(weight.shape[1:]))
    for part, result in zip(x.split(size), out.split(size), strict=True):
        mapped = _map(_INPUT, _tiles(part, SPAN, padding, dilation, rows, columns))
        products = torch.bmm(mapped.flatten(0, 1), weight.mT)
        tiles = _map(_OUTPUT, products.view(SPAN, SPAN, *products.shape[1:]))
        tiles = tiles.view(TILE, TILE, len(part), rows, dilation[0], columns, dilation[1], -1)
        image = tiles.permute(2, 3, 0, 4, 5, 1, 6, 7).reshape(len(part), rows * TILE * dilation[0], -1, out.shape[3])
        image = image[:, :height, :width]
        if bias is None:
            result.copy_(image)
        else:
            torch.add(image, bias, out=result)
    return out.permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, grad: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """(O, C, 3, 3)."""
    rows, columns = _extent(x, padding, dilation)[2:]
    size = _slice_size(x, rows * columns * math.prod(dilation) * (x.shape[1] + grad.shape[1]))
    total: Tensor | None = None
    for part, part_grad in zip(x.split(size), grad.split(size), strict=True):
        mapped = _map(_INPUT, _tiles(part, SPAN, padding, dilation, rows, columns)).flatten(0, 1)
        wanted = _map(_OUTPUT, _tiles(part_grad, TILE, (0, 0), dilation, rows, columns), back=True).flatten(0, 1)
        total = torch.bmm(wanted.mT, mapped) if total is None else total.baddbmm_(wanted.mT, mapped)
    assert total is not None
    return _map(_WEIGHT, total.view(SPAN, SPAN, *total.shape[1:]), back=True).permute(2, 3, 0, 1)


def _extent(x: Tensor, padding: Pair, dilation: Pair) -> tuple[int, int, int, int]:
    """Height and width of the outputs, rows and columns of tiles at each of the dilation's offsets."""
    height, width = (n + 2 * p - 2 * d for n, p, d in zip(x.shape[2:], padding, dilation, strict=True))
    return height, width, -(-height // (TILE * dilation[0])), -(-width // (TILE * dilation[1]))


def _slice_size(x: Tensor, numbers: int) -> int:
    """Images that fit into SLICE_BYTES, about as many in each slice; `numbers` are those of an image at a tile's place."""
    fit = max(1, SLICE_BYTES // (SPAN * SPAN * numbers * x.element_size()))
    return -(-len(x) // -(-len(x) // fit))


def _tiles(x: Tensor, span: int, padding: Pair, dilation: Pair, rows: int, columns: int) -> Tensor:
    """Pixels of (B, C, H, W) images, tile by tile: (span, span, tiles, C)."""
    (top, left), (dy, dx) = padding, dilation
    below = dy * (TILE * rows + span - TILE) - x.shape[2] - top
    right = dx * (TILE * columns + span - TILE) - x.shape[3] - left
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, right, top, below))
    apart = padded.unflatten(2, (-1, dx)).unflatten(1, (-1, dy))
    tiles = apart.unfold(1, span, TILE).unfold(3, span, TILE)
    return tiles.permute(6, 7, 0, 1, 2, 3, 4, 5).reshape(span, span, -1, x.shape[1])


def _map_weight(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) to (36, O, C)."""
    return _map(_WEIGHT, weight.permute(2, 3, 0, 1).contiguous()).flatten(0, 1)


def _map(side: tuple[tuple[float, ...], ...], tiles: Tensor, back: bool = False) -> Tensor:
    """(m, m, ...) contiguous to (n, n, ...), by a matrix (n, m) or, on the way back, (m, n), on either side."""
    matrix = _matrix(side, tiles.dtype)
    matrix = matrix.t() if back else matrix
    halfway = torch.mm(matrix, tiles.flatten(1)).view(len(matrix), len(tiles), -1)
    return torch.matmul(matrix, halfway).view(len(matrix), len(matrix), *tiles.shape[2:])


@cache
def _matrix(side: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> Tensor:
    return torch.tensor(side, dtype=dtype)
