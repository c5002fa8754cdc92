"""The published networks, written plainly: what `bench_tracker.py` compares with.

They share our weights by name. What costs time in the published ones is put back in: attention that returns its weights,
position encodings and masks made for every batch, one offset field at a time; the memory layout is PyTorch's default.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spot.architectures.base import TrackerNetwork
from spot.architectures.ocean.network import Ocean, OceanPrediction, correlate
from spot.architectures.transt.attention import Attention
from spot.architectures.transt.network import TransT


class PlainAttention(nn.MultiheadAttention):
    """With mean weights that nobody reads and a padding mask that masks nothing."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = torch.zeros(key.shape[0], key.shape[1], dtype=torch.bool)
        return super().forward(query, key, value, key_padding_mask=mask)[0]


class PlainTransT(TransT):
    """TransT with `PlainAttention`, and position encodings made for every batch."""

    def _tokens(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        name = "search_positions" if images.shape[-1] == self.search_size else "template_positions"
        setattr(self, name, plain_positions(features, self.projection.out_channels))
        return self.projection(features).flatten(2).transpose(1, 2)


def plain_positions(features: Tensor, width: int) -> Tensor:
    """Return (B, N, width) sine encodings by cumulated masks, for each instance of the batch."""
    inside = torch.ones(features.shape[0], *features.shape[2:], dtype=torch.bool)
    y, x = inside.cumsum(1, dtype=torch.float32), inside.cumsum(2, dtype=torch.float32)
    y = y / (y[:, -1:, :] + 1e-6) * (2 * math.pi)
    x = x / (x[:, :, -1:] + 1e-6) * (2 * math.pi)
    number = torch.arange(width // 2, dtype=torch.float32)
    wavelength = 10000 ** (2 * (number // 2) / (width // 2))
    waves = [axis[..., None] / wavelength for axis in (y, x)]
    lines = [torch.stack((w[..., 0::2].sin(), w[..., 1::2].cos()), dim=4).flatten(3) for w in waves]
    return torch.cat(lines, dim=3).flatten(1, 2)


class PlainOcean(Ocean):
    """Ocean with kernels weighted after the correlation, and the taps of one instance at a time."""

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> OceanPrediction:
        features = self.neck(self.backbone(search))
        cls_map = self._matched(template_features[:3], features, True)
        box_map = self._matched(template_features[3:], features, False)
        box_features = self.box_tower(box_map)
        distances = (self.box_scale * self.box_pred(box_features) + self.box_bias).clamp(max=4.7).exp()
        ious = self.iou_pred(self.iou_tower(box_map.detach())).sigmoid()
        maps = 0.1 * self.cls_pred(self.cls_tower(cls_map)), distances, ious
        logits, boxes, iou = (x.flatten(2).transpose(1, 2) for x in maps)
        align = None
        if self.align:
            taps = torch.cat([self._taps(one) for one in distances])
            aligned = F.relu(self.align_conv(box_features, taps))
            align = self.align_pred(aligned).flatten(2).transpose(1, 2).squeeze(-1)
        return OceanPrediction(logits, boxes, iou.squeeze(-1), align)

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        cut = slice(self.template_margin, -self.template_margin or None)
        target = self.neck(self.backbone(template))[..., cut, cut]
        return tuple(encode(target) for match in (self.cls_match, self.box_match) for encode in match.template)

    def _matched(self, kernels: tuple[Tensor, ...], features: Tensor, cls: bool) -> Tensor:
        match = self.cls_match if cls else self.box_match
        weights, total = match.weight.softmax(0), 0
        found = [correlate(encode(features), kernel) for encode, kernel in zip(match.search, kernels, strict=True)]
        for weight, one in zip(weights, found, strict=True):
            total = total + weight * one
        return total

    def _taps(self, distances: Tensor) -> Tensor:
        """Return (1, 18, H, W) of one instance's (4, H, W) distances, by docs/method.md section 6 word for word."""
        grid, stride = self.grid, self.stride
        x, y = self.cells.T.reshape(2, grid, grid)
        left, top, right, bottom = x - distances[0], y - distances[1], x + distances[2], y + distances[3]
        index = torch.arange(grid, dtype=distances.dtype)
        middle, area = grid // 2, self.search_size / 2
        shift_x = ((left + right) / 2 - area) / stride + middle - index
        shift_y = ((top + bottom) / 2 - area) / stride + middle - index[:, None]
        reach_x, reach_y = (right - left + 1) / (2 * stride) - 1, (bottom - top + 1) / (2 * stride) - 1
        taps = [(ky * reach_y + shift_y, kx * reach_x + shift_x) for ky in (-1, 0, 1) for kx in (-1, 0, 1)]
        return torch.stack([number for tap in taps for number in tap])[None]


def plain_copy(network: TrackerNetwork) -> TrackerNetwork:
    """A network with the same weights that works the plain way."""
    copied = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    copied.__class__ = PlainTransT if isinstance(copied, TransT) else PlainOcean
    for module in copied.modules():
        if isinstance(module, Attention):
            module.__class__ = PlainAttention
    return copied
