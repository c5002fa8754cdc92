"""NanoTrack: MobileNetV3-Small, pixel-wise correlation, and boxes from every cell without anchors.

Published by HonglinChu/SiamTrackers (Apache-2.0). Version 1 has one correlation for both branches; version 2 has one for
each, and six layers a tower. The IoU head is this project's own: sparse supervision needs a predicted IoU.

Channel order: the published networks expect BGR. Ours expects RGB in [0, 255]; the conversion of published weights swaps
the input channels of the first convolution (`published.py`).
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from spot.architectures.base import Candidates, TrackerNetwork, cell_positions, cell_rows, in_float32
from spot.architectures.nanotrack.mobilenet_v3 import MobileNetV3Small, initialise
from spot.architectures.nanotrack.published import NanoFormat
from spot.runtime.errors import SpotError

STRIDE = 16  # pixels a cell

# kernel of each depth-wise convolution of the towers, and channels after it
TOWERS: dict[int, dict[str, tuple[tuple[int, ...], int]]] = {
    1: {"cls": ((5, 5, 3), 128), "box": ((3, 3, 5, 5), 96)},
    2: {"cls": ((3,) * 6, 96), "box": ((3,) * 6, 96)},
}


class NanoPrediction(NamedTuple):
    """Raw outputs for B search crops with N = grid * grid cells, row by row.

    Attributes:
        logits: (B, N, 2) class logits; index 0 = background, 1 = target.
        distances: (B, N, 4) from the cell's position to the left, top, right and bottom side of its box, search pixels, > 0.
        ious: (B, N) predicted IoU of that box with the target, in [0, 1].
    """

    logits: Tensor
    distances: Tensor
    ious: Tensor


class NanoTrack(TrackerNetwork):
    """NanoTrack v1 or v2 with a head that predicts the IoU of each box.

    Args:
        version: 1 or 2.
        template_size: side of the template crop in pixels.
        search_size: side of the search crop in pixels.
        freeze_norms: keep BatchNorm in evaluation mode while training. For weights from ONNX files this holds anyway:
            BatchNorm is folded into their convolutions, and batch statistics would undo that.
        iou_channels: width of the IoU head.
        pixel_mean, pixel_std: normalisation of RGB in [0, 1]; 0 and 1/255 give the [0, 255] of the published weights.
        frozen_epochs: the first epochs, in which the backbone is not trained (published: 10 of 50).
    """

    published: ClassVar[NanoFormat] = NanoFormat()
    optional: ClassVar[tuple[str, ...]] = ("iou_head.",)

    cells: Tensor

    def __init__(
        self,
        version: int = 2,
        template_size: int = 127,
        search_size: int = 255,
        freeze_norms: bool = False,
        iou_channels: int = 64,
        pixel_mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        pixel_std: tuple[float, ...] = (1 / 255, 1 / 255, 1 / 255),
        frozen_epochs: int = 0,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, frozen_epochs)
        if version not in TOWERS:
            raise SpotError(f"arch.network.version={version}: NanoTrack has versions {', '.join(map(str, TOWERS))}")
        self.version, self.freeze_norms = version, freeze_norms
        self.template_size, self.search_size = template_size, search_size
        self.grid = math.ceil(search_size / STRIDE)
        correlations = math.ceil(template_size / STRIDE) ** 2
        self.backbone = MobileNetV3Small()
        if version == 1:
            self.match = PixelwiseCorrelation(correlations)
        else:
            self.box_match = PixelwiseCorrelation(correlations, self.backbone.channels)
            self.cls_match = PixelwiseCorrelation(correlations, self.backbone.channels)
        cls_kernels, cls_channels = TOWERS[version]["cls"]
        box_kernels, box_channels = TOWERS[version]["box"]
        self.cls_tower = tower(correlations, cls_channels, cls_kernels)
        self.cls_pred = nn.Conv2d(cls_channels, 2, 1)
        self.box_tower = tower(correlations, box_channels, box_kernels)
        self.box_pred = nn.Conv2d(box_channels, 4, 1)
        self.apply(initialise)
        assert self.box_pred.bias is not None
        nn.init.constant_(self.box_pred.bias, math.log(template_size / 4))  # half of a usual target's side
        # Drawn last and without BatchNorm: converted weights lack this head, and the rest does not depend on it.
        self.iou_head = nn.Sequential(
            nn.Conv2d(cls_channels + box_channels, iou_channels, 1),
            nn.ReLU(),
            nn.Conv2d(iou_channels, iou_channels, 3, padding=1, groups=iou_channels),
            nn.ReLU(),
            nn.Conv2d(iou_channels, 1, 1),
        )
        self.register_buffer("cells", cell_positions(self.grid, STRIDE, search_size), persistent=False)

    def train(self, mode: bool = True) -> NanoTrack:
        """Set the mode; BatchNorm stays in evaluation mode with `freeze_norms`, and in folded weights always."""
        super().train(mode)
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        if mode and (self.freeze_norms or (norms and is_folded(norms[0]))):
            for norm in norms:
                norm.eval()
        return self

    def begin_epoch(self, epoch: int) -> None:
        """See `TrackerNetwork.begin_epoch`."""
        super().begin_epoch(epoch)
        self.train(self.training)  # thawing the backbone puts its BatchNorm into training mode

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """Encode (B, 3, template_size, template_size): one (B, P, 48) kernel for each correlation, P template cells.

        The target's box is not used: every template shows it at the same place.
        """
        features = self.backbone(template)
        return tuple(match.kernel(features) for match in self.matches)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> NanoPrediction:
        """Outputs for (B, 3, search_size, search_size), N = grid ** 2 cells."""
        features = self.backbone(search)
        maps = [match(kernel, features) for match, kernel in zip(self.matches, template_features, strict=True)]
        towers = self.cls_tower(maps[-1]), self.box_tower(maps[0])
        return in_float32(self._heads, *towers)

    @property
    def matches(self) -> tuple[PixelwiseCorrelation, ...]:
        """The correlations: one for both branches, or that of the box branch and that of the class branch."""
        return (self.match,) if self.version == 1 else (self.box_match, self.cls_match)

    def _heads(self, cls_features: Tensor, box_features: Tensor) -> NanoPrediction:
        # The gradient of the IoU head must not change the boxes: its input is detached.
        judged = torch.cat([cls_features, box_features], dim=1).detach()
        return NanoPrediction(
            cell_rows(self.cls_pred(cls_features)),
            cell_rows(self.box_pred(box_features)).exp(),
            cell_rows(self.iou_head(judged)).squeeze(-1).sigmoid(),
        )

    def candidates(self, prediction: NanoPrediction) -> Candidates:
        """Return target probability, xywh box in search-crop pixels (not clipped), and predicted IoU of each cell."""
        before, after = prediction.distances[..., :2], prediction.distances[..., 2:]
        boxes = torch.cat([self.cells.to(before.dtype) - before, before + after], dim=-1)
        return Candidates(prediction.logits.softmax(dim=-1)[..., 1], boxes, prediction.ious)


class PixelwiseCorrelation(nn.Module):
    """Correlate every template cell with every search cell, then weight the template cells (Yan et al., CVPR 2021).

    Args:
        cells: template cells P.
        channels: of the features, where both are first projected by a 1x1 convolution (version 2); None: no projection.
    """

    def __init__(self, cells: int, channels: int | None = None) -> None:
        super().__init__()
        self.template, self.search = (
            nn.Identity()
            if channels is None
            else nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))
            for _ in range(2)
        )
        self.attention = CellAttention(cells)

    def kernel(self, template: Tensor) -> Tensor:
        """Map (B, C, h, w) template features to (B, P, C), P = h * w."""
        return self.template(template).flatten(2).transpose(1, 2).contiguous()

    def forward(self, kernel: Tensor, search: Tensor) -> Tensor:
        """Map (B, P, C) kernels and (B, C, H, W) search features to (B, P, H, W)."""
        features = self.search(search)
        return self.attention((kernel @ features.flatten(2)).unflatten(2, features.shape[2:]))


class CellAttention(nn.Module):
    """Weight the channels of a correlation map, one for each template cell, by their means."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(cells, cells, 1), nn.Conv2d(cells, cells, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, P, H, W) to the same shape."""
        return maps * self.fc2(self.fc1(maps.mean((2, 3), keepdim=True)).relu()).sigmoid()


def tower(channels: int, width: int, kernels: tuple[int, ...]) -> nn.Sequential:
    """Depth-wise and 1x1 convolution, BatchNorm and ReLU6 for each kernel; (B, channels, H, W) to (B, width, H, W)."""
    layers: list[nn.Module] = []
    for kernel in kernels:
        layers.append(nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False))
        layers += nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()
        channels = width
    return nn.Sequential(*layers)


def is_folded(norm: nn.BatchNorm2d) -> bool:
    """Return whether a BatchNorm is an identity because it is folded into the layer before it (see `published.py`)."""
    assert norm.running_var is not None
    return bool(((norm.running_var - (1 - norm.eps)).abs() < norm.eps / 10).all())
