"""Dropout that is fast on CPUs too: of attention weights, and of anything else.

torch fuses attention on GPUs, with dropout of the weights and all. On CPUs its fused kernel knows no dropout: training
then falls back to the plain formula, which keeps five maps of (queries, keys) for every head and draws each map's mask
number by number. Here the maps live for one slice at a time and are made again in the backward pass. The few numbers that
are dropped are drawn by the gaps between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spot.architectures.linear import linear

SLICE_BYTES = 4 << 20  # of one map: about what stays in a core's caches


class Attention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention`, batch first and without returned weights; same parameters, same function.

    Args:
        d_model: width of the tokens.
        heads: attention heads.
        dropout: of the attention weights, in training.
    """

    def __init__(self, d_model: int, heads: int, dropout: float) -> None:
        super().__init__(d_model, heads, dropout, batch_first=True)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        """(B, N, d_model) queries, (B, M, d_model) keys and values to (B, N, d_model)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        dropout = self.dropout if self.training else 0.0
        if dropout and q.device.type == "cpu":
            attended = sliced_attention(q, k, v, dropout)
        else:
            attended = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return linear(attended.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, same distribution."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same; in training, numbers are dropped with probability p, the others grow by 1 / (1 - p)."""
        if not (self.training and 0 < self.p < 1 and input.device.type == "cpu"):
            return super().forward(input)
        dropped = _dropped(input.numel(), self.p)
        return _ScaledWithout.apply(input, 1 / (1 - self.p), dropped)


class _ScaledWithout(torch.autograd.Function):
    """x times a factor, and 0 at some positions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float, dropped: Tensor) -> Tensor:
        ctx.factor = factor
        ctx.save_for_backward(dropped)
        return _scaled_without(x, factor, dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _scaled_without(grad, ctx.factor, *ctx.saved_tensors), None, None


def _scaled_without(x: Tensor, factor: float, dropped: Tensor) -> Tensor:
    out = (x * factor).contiguous()
    out.view(-1).index_fill_(0, dropped, 0)
    return out


def sliced_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """softmax(q k^T / sqrt(d)) with dropout, times v, by slices of the batch and heads.

    Args:
        q: (..., N, d) queries; k: (..., M, d) keys; v: (..., M, e) values; the leading dimensions are the same.
        dropout: probability in (0, 1) with which a weight is dropped; the others grow by 1 / (1 - dropout).

    Returns:
        (..., N, e). What is dropped follows from torch's global generator, and its positions are kept for the backward
        pass: 0.8 bytes a weight at a dropout of 0.1.
    """
    flat = (x.flatten(0, -3) for x in (q * q.shape[-1] ** -0.5, k, v))
    return _SlicedAttention.apply(*flat, dropout).unflatten(0, q.shape[:-2])


class _SlicedAttention(torch.autograd.Function):
    """Of inputs with one leading dimension; keeps these, the output and what is dropped."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        out = q.new_empty(*q.shape[:-1], v.shape[-1])
        ctx.dropout, drops = dropout, []
        for rows, (weights,) in _slices(q, k, maps=1):
            _softmax(q[rows], k[rows], weights)
            drops.append(_dropped(weights.numel(), dropout))
            weights.view(-1).index_fill_(0, drops[-1], 0)
            torch.bmm(weights, v[rows], out=out[rows])
        out.div_(1 - dropout)
        ctx.save_for_backward(q, k, v, out, *drops)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *drops = ctx.saved_tensors
        into_q = torch.empty_like(q)
        into_k, into_v = (x.new_empty(x.mT.shape) for x in (k, v))  # so turned, the products are faster
        mean = (grad * out).sum(-1, keepdim=True)  # of the gradients into a row's weights
        grad = grad / (1 - ctx.dropout)
        for dropped, (rows, (weights, into_scores)) in zip(drops, _slices(q, k, maps=2), strict=True):
            _softmax(q[rows], k[rows], weights)
            torch.bmm(grad[rows], v[rows].mT, out=into_scores)
            into_scores.view(-1).index_fill_(0, dropped, 0)
            into_scores.sub_(mean[rows]).mul_(weights)
            weights.view(-1).index_fill_(0, dropped, 0)
            torch.bmm(grad[rows].mT, weights, out=into_v[rows])
            torch.bmm(into_scores, k[rows], out=into_q[rows])
            torch.bmm(q[rows].mT, into_scores, out=into_k[rows])
        return into_q, into_k.mT, into_v.mT, None


def _dropped(count: int, p: float) -> Tensor:
    """Sorted int64 positions among `count`, each with probability p, from torch's global generator.

    The gap to the next one, floor(log(u) / log(1 - p)) + 1, is geometric.
    """
    enough = int(count * p + 8 * math.sqrt(count * p) + 16)  # eight standard deviations
    gaps = torch.rand(enough).neg_().log1p_().div_(math.log1p(-p)).long().add_(1)
    positions = gaps.cumsum_(0).sub_(1)
    return positions[: int(np.searchsorted(positions.numpy(), count))]


def _softmax(q: Tensor, k: Tensor, out: Tensor) -> None:
    torch.bmm(q, k.mT, out=out)
    torch.softmax(out, -1, out=out)


def _slices(q: Tensor, k: Tensor, maps: int) -> Iterator[tuple[slice, list[Tensor]]]:
    """Slices of the first dimension, and `maps` uninitialised maps (rows, N, M) of about SLICE_BYTES, always the same."""
    size = max(1, SLICE_BYTES // (q.shape[1] * k.shape[1] * q.element_size()))
    buffers = [q.new_empty(min(size, len(q)), q.shape[1], k.shape[1]) for _ in range(maps)]
    for start in range(0, len(q), size):
        rows = slice(start, min(start + size, len(q)))
        yield rows, [buffer[: rows.stop - start] for buffer in buffers]
