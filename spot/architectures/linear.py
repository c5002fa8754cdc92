"""Linear maps that are fast on CPUs too.

On CPUs, PyTorch leaves single-precision matrix products to MKL, which runs well below the speed of some processors;
oneDNN, which PyTorch carries as well, comes closer and adds the bias in passing. PyTorch's compiler calls it by the
operator that is used here; where that is absent, or the inputs are of another kind, PyTorch's own way is taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

MIN_WEIGHTS = 1 << 16  # from which on it is faster


class Linear(nn.Linear):
    """`torch.nn.Linear`, same parameters, same function."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """(..., C) to (..., O) by a weight (O, C) and a bias (O,), as `torch.nn.functional.linear`; then ReLU if asked for."""
    if has_quick_product(x, weight):
        return _Linear.apply(x, weight, bias, relu)
    y = F.linear(x, weight, bias)
    return y.relu() if relu else y


def has_quick_product(x: Tensor, weight: Tensor) -> bool:
    """Whether `linear` goes another way than PyTorch."""
    large = weight.numel() >= MIN_WEIGHTS
    return large and hasattr(torch.ops.mkldnn, "_linear_pointwise") and runs_on_cpu(x, weight)


def runs_on_cpu(*tensors: Tensor) -> bool:
    """Whether a CPU computes with these right away and in single precision, which is what this room has own ways for."""
    return (
        not torch.compiler.is_compiling()
        and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors)
        and not torch.is_autocast_enabled("cpu")
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        y = _product(x, weight, bias, relu)
        ctx.save_for_backward(x, weight, y if relu else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, positive = ctx.saved_tensors
        for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        if positive is not None:
            grad = torch.ops.aten.threshold_backward(grad, positive, 0)
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            _product(grad, weight.t()) if for_x else None,
            rows.t() @ x.reshape(-1, x.shape[-1]) if for_weight else None,
            rows.sum(0) if for_bias else None,
            None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
