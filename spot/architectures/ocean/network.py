"""Ocean: boxes regressed from every cell, without anchors (docs/method.md section 6; Zhang et al., ECCV 2020).

Two centres. A cell stands for one pixel of the search crop, the middle cell for its centre pixel, search_size // 2
(127 of the pixels 0..254): box distances are measured from there. The deformable taps, and the class labels in
`ocean_loss.py`, put the middle cell at search_size / 2 (127.5, the centre of an area of 255 pixels) instead. That
moves every tap by 1/16 of a cell and some class labels by one cell. Published weights were trained so; both are kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from spot.architectures.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Candidates,
    TrackerNetwork,
    cell_positions,
    cell_rows,
    in_float32,
)
from spot.architectures.ocean.published import OceanFormat
from spot.runtime.errors import SpotError

MAX_LOG_DISTANCE = 4.7  # 110 pixels


class OceanPrediction(NamedTuple):
    """Raw outputs for B search crops with N = grid * grid cells, row by row.

    Attributes:
        logits: (B, N, 1) class logits.
        boxes: (B, N, 4) distances left, top, right, bottom in search-crop pixels from the cell's position to the sides
            of its box.
        ious: (B, N) predicted IoU of each box, in [0, 1].
        align: (B, N) alignment logits, or None in a network without that head.
    """

    logits: Tensor
    boxes: Tensor
    ious: Tensor
    align: Tensor | None = None


class Ocean(TrackerNetwork):
    """SP-Ocean: Ocean with a head that predicts the IoU of each box.

    Args:
        backbone: (B, 3, H, W) to (B, backbone.channels, about H / stride, about W / stride).
        template_size: side of the template crop in pixels.
        search_size: side of the search crop in pixels.
        stride: pixels a cell.
        grid: score cells a side; follows from the sizes and the backbone's padding, and is checked.
        template_margin: cells cut off each side of the template's features, which leaves those of the target.
        channels: width of all that comes after the backbone.
        tower_depth: convolutions in each tower.
        class_fraction: fraction of the class score in a candidate's score; the rest is the align score.
        align: whether there is an align head. Its deformable convolution costs a small network on a CPU half of its step.
        first_distance: box distances in pixels before training. If it is small, the IoU is near 0
            everywhere and the sigmoid of the IoU head can saturate for good; half a target's side avoids that.
        frozen_epochs: first epochs, in which the backbone is not trained.
        pixel_mean, pixel_std: normalisation that the backbone expects.
    """

    published = OceanFormat("Ocean")
    cells: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        template_size: int = 127,
        search_size: int = 255,
        stride: int = 8,
        grid: int = 25,
        template_margin: int = 4,
        channels: int = 256,
        tower_depth: int = 4,
        class_fraction: float = 0.94,
        align: bool = True,
        first_distance: float = math.e,
        frozen_epochs: int = 0,
        pixel_mean: tuple[float, ...] = IMAGENET_MEAN,
        pixel_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, frozen_epochs)
        self.template_size, self.search_size = template_size, search_size
        self.grid, self.stride, self.template_margin = grid, stride, template_margin
        self.class_fraction = class_fraction
        self.backbone = backbone
        self.neck = nn.Sequential(
            nn.Conv2d(backbone.channels, channels, 1, bias=False),  # type: ignore[arg-type]
            nn.BatchNorm2d(channels),
        )
        self.cls_match, self.box_match = Match(channels), Match(channels)
        self.cls_tower, self.cls_pred = tower(channels, tower_depth), nn.Conv2d(channels, 1, 3, padding=1)
        self.box_tower, self.box_pred = tower(channels, tower_depth), nn.Conv2d(channels, 4, 3, padding=1)
        self.iou_tower, self.iou_pred = tower(channels, tower_depth), nn.Conv2d(channels, 1, 3, padding=1)
        self.box_scale = nn.Parameter(torch.full((1,), 0.1))
        self.box_bias = nn.Parameter(torch.full((1, 4, 1, 1), math.log(first_distance)))
        self.align = align
        if align:
            self.align_conv = DeformConv2d(channels, channels, 3, padding=1, bias=False)
            self.align_pred = nn.Conv2d(channels, 1, 1)
        self.register_buffer("cells", cell_positions(grid, stride, search_size), persistent=False)

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """Return six correlation kernels (B, channels, h, w), three for each branch: class, box. The box is not needed."""
        features, margin = self.neck(self.backbone(template)), self.template_margin
        height, width = features.shape[-2:]
        target = features[..., margin : height - margin, margin : width - margin]
        return *self.cls_match.kernels(target), *self.box_match.kernels(target)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> OceanPrediction:
        """Outputs for (B, 3, search_size, search_size), N = grid ** 2 cells."""
        features = self.neck(self.backbone(search))
        cls_map = self.cls_match(template_features[:3], features)
        box_map = self.box_match(template_features[3:], features)
        if cls_map.shape[-1] != self.grid:
            raise SpotError(
                f"arch.network.grid={self.grid}: these sizes give {cls_map.shape[-1]} cells a side; give that number"
            )
        # The gradient of the IoU head must not change the boxes: its input is detached.
        outputs = self.cls_tower(cls_map), self.box_tower(box_map), self.iou_tower(box_map.detach())
        return in_float32(self._heads, *outputs)

    def candidates(self, prediction: OceanPrediction) -> Candidates:
        """Blend of class and align score, xywh box in search-crop pixels (not clipped), predicted IoU of each cell."""
        scores = prediction.logits.squeeze(-1).sigmoid()
        if prediction.align is not None:
            scores = self.class_fraction * scores + (1 - self.class_fraction) * prediction.align.sigmoid()
        before, after = prediction.boxes.split(2, dim=-1)
        return Candidates(scores, torch.cat([self.cells - before, before + after], dim=-1), prediction.ious)

    def _heads(self, cls_features: Tensor, box_features: Tensor, iou_features: Tensor) -> OceanPrediction:
        log_distances = self.box_scale * self.box_pred(box_features) + self.box_bias
        distances = log_distances.clamp(max=MAX_LOG_DISTANCE).exp()
        return OceanPrediction(
            logits=cell_rows(0.1 * self.cls_pred(cls_features)),
            boxes=cell_rows(distances),
            ious=cell_rows(self.iou_pred(iou_features)).squeeze(-1).sigmoid(),
            align=self._alignment(box_features, distances) if self.align else None,
        )

    def _alignment(self, box_features: Tensor, distances: Tensor) -> Tensor:
        """Return (B, N) logits."""
        shift = (self.search_size // 2 - self.search_size / 2) / self.stride
        aligned = self.align_conv(box_features, tap_offsets(distances, self.stride, shift))
        return cell_rows(self.align_pred(F.relu(aligned, inplace=True))).squeeze(-1)


class Match(nn.Module):
    """Three encodings of template and search features, each pair correlated, and the weighted sum of the three.

    The encodings differ in the dilation of their convolution, so as to suit boxes of different aspect.
    """

    dilations = ((1, 1), (2, 1), (1, 2))  # y, x

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.template = nn.ModuleList(_encoding(channels, dilation) for dilation in self.dilations)
        self.search = nn.ModuleList(_encoding(channels, dilation) for dilation in self.dilations)
        self.weight = nn.Parameter(torch.ones(len(self.dilations)))

    def kernels(self, template: Tensor) -> tuple[Tensor, ...]:
        """Encodings (B, C, h, w) of the template, weighted: cheaper here than on the larger correlations."""
        weights = self.weight.softmax(0)
        return tuple(weight * encode(template) for weight, encode in zip(weights, self.template, strict=True))

    def forward(self, kernels: tuple[Tensor, ...], search: Tensor) -> Tensor:
        """Kernels and search features of the same B instances to (B, C, grid, grid)."""
        plain, tall, wide = (
            correlate(encode(search), kernel) for encode, kernel in zip(self.search, kernels, strict=True)
        )
        return plain + tall + wide


def correlate(search: Tensor, kernel: Tensor) -> Tensor:
    """Depth-wise cross-correlation of (B, C, H, W) with (B, C, h, w), as one grouped convolution for all instances.

    Exported graphs take `correlate_by_products`, because the number of groups depends on the batch.
    """
    if torch.jit.is_tracing() or torch.compiler.is_exporting():
        return correlate_by_products(search, kernel)
    batch, channels = kernel.shape[:2]
    stacked = search.reshape(1, batch * channels, *search.shape[2:])
    kernel = kernel.reshape(batch * channels, 1, *kernel.shape[2:])
    return F.conv2d(stacked, kernel, groups=batch * channels).unflatten(1, (batch, channels)).squeeze(0)


def correlate_by_products(search: Tensor, kernel: Tensor) -> Tensor:
    """`correlate` in operations that suit any batch: products of matrices over x, then shifted sums over y."""
    height, width = (int(s) - int(k) + 1 for s, k in zip(search.shape[2:], kernel.shape[2:], strict=True))
    columns = torch.stack([search[..., x : x + width] for x in range(kernel.shape[3])], dim=2)  # (B, C, w, H, width)
    products = (kernel @ columns.flatten(3)).unflatten(3, (-1, width))  # (B, C, h, H, width)
    return torch.stack([products[:, :, y, y : y + height] for y in range(kernel.shape[2])]).sum(0)


def tap_offsets(distances: Tensor, stride: int, shift: float) -> Tensor:
    """Return offsets that spread the nine taps of a 3x3 convolution over the box predicted at each cell.

    This is docs/method.md section 6 with the cell's own position put in, which cancels: neither grid nor index remains.

    Args:
        distances: (B, 4, H, W) left, top, right, bottom in pixels.
        stride: pixels a cell.
        shift: cells from one centre to the other (see the top of this file).

    Returns:
        (B, 18, H, W) in cells, taps row by row, y before x.
    """
    before, after = distances[:, :2], distances[:, 2:]
    center = (after - before) / (2 * stride) + shift
    reach = (before + after + 1) / (2 * stride) - 1
    x, y = torch.stack([center - reach, center, center + reach], dim=2).unbind(1)
    y, x = y[:, :, None].expand(-1, -1, 3, -1, -1), x[:, None].expand(-1, 3, -1, -1, -1)
    return torch.stack([y, x], dim=3).flatten(1, 3)


def tower(channels: int, depth: int) -> nn.Sequential:
    """`depth` times convolution, BatchNorm, ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        layers += nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    return nn.Sequential(*layers)


def _encoding(channels: int, dilation: tuple[int, int]) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
