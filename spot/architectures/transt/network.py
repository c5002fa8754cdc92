"""TransT: template and search features fused by attention alone (docs/method.md section 6; Chen et al., CVPR 2021)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from spot.architectures.backbones.base import Backbone
from spot.architectures.base import IMAGENET_MEAN, IMAGENET_STD, Candidates, TrackerNetwork, in_float32
from spot.architectures.transt.attention import Attention
from spot.architectures.transt.published import TransTFormat
from spot.runtime.errors import SpotError

STRIDE = 8


class TransTPrediction(NamedTuple):
    """Raw outputs for B search crops with N = grid * grid cells, row by row.

    Attributes:
        logits: (B, N, 2) of the classes 0 target, 1 background.
        boxes: (B, N, 4) cx, cy, w, h in [0, 1], relative to the search crop.
        ious: (B, N) predicted IoU of each box, in [0, 1].
    """

    logits: Tensor
    boxes: Tensor
    ious: Tensor


class TransT(TrackerNetwork):
    """SP-TransT: TransT with a head that predicts the IoU of each box.

    Args:
        backbone: turns images into features of stride 8.
        template_size: side of the template crop in pixels, a multiple of 8.
        search_size: side of the search crop in pixels, a multiple of 8.
        d_model: width of the tokens, a multiple of 4 and of heads.
        heads: attention heads.
        layers: fusion layers, each ego-context on both branches and cross-feature both ways.
        ffn: hidden width of the feed-forward networks.
        dropout: of attention weights and of residual branches, in training.
        anchored: boxes start at their cell's centre, a quarter of the crop wide and high. Published networks must learn where
            their cells are, which takes long.
        frozen_epochs: first epochs, in which the backbone is not trained.
        pixel_mean, pixel_std: normalisation that the backbone expects.
    """

    published = TransTFormat("TransT")

    def __init__(
        self,
        backbone: Backbone,
        template_size: int = 128,
        search_size: int = 256,
        d_model: int = 256,
        heads: int = 8,
        layers: int = 4,
        ffn: int = 2048,
        dropout: float = 0.1,
        anchored: bool = False,
        frozen_epochs: int = 0,
        pixel_mean: tuple[float, ...] = IMAGENET_MEAN,
        pixel_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, frozen_epochs)
        for name, size in (("template_size", template_size), ("search_size", search_size)):
            if size % STRIDE:
                raise SpotError(f"arch.network.{name}={size}: give a multiple of {STRIDE}")
        if d_model % 4 or d_model % heads:
            raise SpotError(f"arch.network.d_model={d_model}: give a multiple of 4 and of arch.network.heads={heads}")
        self.template_size, self.search_size = template_size, search_size
        self.grid = search_size // STRIDE
        self.backbone = backbone
        self.projection = nn.Conv2d(backbone.channels, d_model, 1)
        self.fusion = nn.ModuleList(FusionLayer(d_model, heads, ffn, dropout) for _ in range(layers))
        self.decoder = CrossFeature(d_model, heads, ffn, dropout)
        self.decoder_norm = nn.LayerNorm(d_model)
        for part in (self.fusion, self.decoder):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        self.class_head = _head(d_model, 2)
        self.box_head = _head(d_model, 4)
        self.iou_head = _head(d_model, 1)
        for name, grid in (("template_positions", template_size // STRIDE), ("search_positions", self.grid)):
            self.register_buffer(name, sine_positions(grid, d_model), persistent=False)
        self.register_buffer("anchors", cell_anchors(self.grid) if anchored else None, persistent=False)

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """Return the tokens of the template before fusion; the box is not needed. (B, (template_size / 8) ** 2, d_model)."""
        return (self._tokens(template),)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> TransTPrediction:
        """Outputs for (B, 3, search_size, search_size), N = (search_size / 8) ** 2 cells."""
        (template,), search = template_features, self._tokens(search)
        positions = self.template_positions, self.search_positions
        for layer in self.fusion:
            template, search = layer(template, search, *positions)
        fused = self.decoder_norm(self.decoder(search, self.search_positions, template, self.template_positions))
        return in_float32(self._heads, fused)

    def candidates(self, prediction: TransTPrediction) -> Candidates:
        """Return target probability, xywh box in search-crop pixels (not clipped) and predicted IoU of every cell."""
        boxes = box_convert(prediction.boxes * self.search_size, "cxcywh", "xywh")
        return Candidates(prediction.logits.softmax(-1)[..., 0], boxes, prediction.ious)

    def _tokens(self, images: Tensor) -> Tensor:
        return self.projection(self.backbone(images)).flatten(2).transpose(1, 2)

    def _heads(self, fused: Tensor) -> TransTPrediction:
        # The gradient of the IoU head must not change the boxes: its input is detached.
        ious = self.iou_head(fused.detach()).sigmoid().squeeze(-1)
        boxes = self.box_head(fused)
        if self.anchors is not None:
            boxes = boxes + self.anchors
        return TransTPrediction(self.class_head(fused), boxes.sigmoid(), ious)


def cell_anchors(grid: int) -> Tensor:
    """Return (grid * grid, 4) logits of cx, cy, w, h: each cell's centre, and a quarter of the crop."""
    centers = (torch.arange(grid) + 0.5) / grid
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    quarter = torch.full_like(x, 0.25)
    return torch.stack([x, y, quarter, quarter], -1).flatten(0, 1).logit()


class FusionLayer(nn.Module):
    """Ego-context on either branch, then cross-feature both ways from the same inputs."""

    def __init__(self, d_model: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.template_ego = EgoContext(d_model, heads, dropout)
        self.search_ego = EgoContext(d_model, heads, dropout)
        self.template_cross = CrossFeature(d_model, heads, ffn, dropout)
        self.search_cross = CrossFeature(d_model, heads, ffn, dropout)

    def forward(
        self, template: Tensor, search: Tensor, template_positions: Tensor, search_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, d) of both branches, with positions (N, d) of each, to tokens of the same shapes."""
        template = self.template_ego(template, template_positions)
        search = self.search_ego(search, search_positions)
        return (
            self.template_cross(template, template_positions, search, search_positions),
            self.search_cross(search, search_positions, template, template_positions),
        )


class EgoContext(nn.Module):
    """A branch attends to itself."""

    def __init__(self, d_model: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(d_model, heads, dropout)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Map (B, N, d) tokens and their (N, d) positions to (B, N, d)."""
        placed = x + positions
        attended = self.attention(placed, placed, x)
        return self.norm(x + self.dropout(attended))


class CrossFeature(nn.Module):
    """A branch attends to the other one; a feed-forward network follows."""

    def __init__(self, d_model: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(d_model, heads, dropout)
        self.norm1 = nn.LayerNorm(d_model)
        self.linear1 = nn.Linear(d_model, ffn)
        self.linear2 = nn.Linear(ffn, d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor, other: Tensor, other_positions: Tensor) -> Tensor:
        """Let (B, N, d) tokens attend to the (B, M, d) tokens of the other branch."""
        attended = self.attention(x + positions, other + other_positions, other)
        x = self.norm1(x + self.dropout(attended))
        hidden = self.dropout(self.linear1(x).relu())
        return self.norm2(x + self.dropout(self.linear2(hidden)))


def sine_positions(grid: int, d_model: int) -> Tensor:
    """Return (grid * grid, d_model) float32 position encodings, row by row: d_model / 2 numbers for y, then for x.

    Coordinates 1..grid are scaled to (0, 2 pi]; sines and cosines alternate over wavelengths up to 10000
    (docs/method.md section 6).
    """
    features = d_model // 2
    coordinates = torch.arange(1, grid + 1, dtype=torch.float32)
    coordinates = coordinates / (grid + 1e-6) * (2 * math.pi)
    wavelengths = 10000 ** (torch.arange(features, dtype=torch.float32) // 2 * 2 / features)
    angles = coordinates[:, None] / wavelengths
    line = torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1)
    y, x = line[:, None].expand(-1, grid, -1), line[None].expand(grid, -1, -1)
    return torch.cat((y, x), dim=2).flatten(0, 1)


def _head(d_model: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, outputs)
    )
