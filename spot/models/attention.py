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
from torch.nn import functional as F

from spot.models.linear import linear

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
        factors = torch.full(input.shape, 1 / (1 - self.p), dtype=input.dtype)
        factors.view(-1).index_fill_(0, _Dropped(self.p, torch.default_generator).among(factors.numel()), 0)
        return input * factors


def sliced_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """softmax(q k^T / sqrt(d)) with dropout, times v, by slices of the batch and heads.

    Args:
        q: (..., N, d) queries; k: (..., M, d) keys; v: (..., M, e) values; the leading dimensions are the same.
        dropout: probability in (0, 1) with which a weight is dropped; the others grow by 1 / (1 - dropout).

    Returns:
        (..., N, e). What is dropped follows from torch's global generator.
    """
    flat = (x.flatten(0, -3) for x in (q * q.shape[-1] ** -0.5, k, v))
    return _SlicedAttention.apply(*flat, dropout).unflatten(0, q.shape[:-2])


class _SlicedAttention(torch.autograd.Function):
    """Of inputs with one leading dimension; keeps these and the output, and draws what is dropped twice."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        out = q.new_empty(*q.shape[:-1], v.shape[-1])
        ctx.dropout, ctx.random_state = dropout, torch.get_rng_state()
        draws = _Dropped(dropout, torch.default_generator)
        for rows, (weights,) in _slices(q, k, maps=1):
            _softmax(q[rows], k[rows], weights)
            weights.view(-1).index_fill_(0, draws.among(weights.numel()), 0)
            torch.bmm(weights, v[rows], out=out[rows])
        out.div_(1 - dropout)
        ctx.save_for_backward(q, k, v, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out = ctx.saved_tensors
        into_q, into_k, into_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        grad = grads[0] / (1 - ctx.dropout)
        mean = (grads[0] * out).sum(-1, keepdim=True)  # of the gradients into a row's weights
        generator = torch.Generator()
        generator.set_state(ctx.random_state)
        draws = _Dropped(ctx.dropout, generator)
        for rows, (weights, into_scores) in _slices(q, k, maps=2):
            _softmax(q[rows], k[rows], weights)
            dropped = draws.among(weights.numel())
            torch.bmm(grad[rows], v[rows].mT, out=into_scores)
            into_scores.view(-1).index_fill_(0, dropped, 0)
            into_scores.sub_(mean[rows]).mul_(weights)
            weights.view(-1).index_fill_(0, dropped, 0)
            torch.bmm(weights.mT, grad[rows], out=into_v[rows])
            torch.bmm(into_scores, k[rows], out=into_q[rows])
            torch.bmm(into_scores.mT, q[rows], out=into_k[rows])
        return into_q, into_k, into_v, None


class _Dropped:
    """Which of many numbers are dropped: the gap to the next one, floor(log(u) / log(1 - p)) + 1, is geometric."""

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        self.probability, self.generator = probability, generator

    def among(self, count: int) -> Tensor:
        """Sorted int64 positions in 0..count-1."""
        p = self.probability
        enough = int(count * p + 8 * math.sqrt(count * p) + 16)  # eight standard deviations
        gaps = torch.rand(enough, generator=self.generator).neg_().log1p_().div_(math.log1p(-p)).long().add_(1)
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
