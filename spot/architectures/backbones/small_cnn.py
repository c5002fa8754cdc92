"""A small convolutional backbone without pretrained weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from spot.architectures.backbones.base import Backbone

CHANNELS_A_GROUP = 8  # of GroupNorm


class SmallCNN(Backbone):
    """A plain convolutional network that learns from scratch in minutes on a CPU.

    Each of the three stages begins with a 3x3 convolution of stride 2; residual pairs follow in the last two.

    It has GroupNorm, which normalises each image alone. BatchNorm would normalise template crops and search crops with
    statistics of their own in training, and both with one running average in evaluation, which suits neither: boxes of
    a network trained from scratch were a sixth too small.

    Args:
        widths: channels of the stages at stride 2, 4 and 8.
        blocks: residual pairs in the stages at stride 4 and 8.
    """

    def __init__(self, widths: Iterable[int] = (24, 48, 96), blocks: Iterable[int] = (1, 1)) -> None:
        super().__init__()
        first, second, third = widths
        self.channels = third
        shallow, deep = blocks
        self.layers = nn.Sequential(
            _conv_norm_relu(3, first, stride=2),
            _conv_norm_relu(first, second, stride=2),
            *(_Residual(second) for _ in range(shallow)),
            _conv_norm_relu(second, third, stride=2),
            *(_Residual(third) for _ in range(deep)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 8, W / 8)."""
        return self.layers(images)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv_norm_relu(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), _norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _conv_norm_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, _norm(outputs), nn.ReLU(inplace=True))


class _GroupNorm(nn.GroupNorm):
    """GroupNorm for (B, C, H, W), exported as plain operations: OpenVINO 2026.4 crashes on its own."""

    def forward(self, x: Tensor) -> Tensor:
        if not (torch.jit.is_tracing() or torch.compiler.is_exporting()):
            return super().forward(x)
        groups = x.unflatten(1, (self.num_groups, -1))
        centred = groups - groups.mean((2, 3, 4), keepdim=True)
        scaled = centred * (centred.square().mean((2, 3, 4), keepdim=True) + self.eps).rsqrt()
        return scaled.flatten(1, 2) * self.weight[:, None, None] + self.bias[:, None, None]


def _norm(channels: int) -> nn.GroupNorm:
    return _GroupNorm(max(1, channels // CHANNELS_A_GROUP), channels)
