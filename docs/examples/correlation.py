"""An architecture of one's own: the template's features are the kernel of a depth-wise convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert

from spot.architectures.backbones.base import Backbone
from spot.architectures.base import Candidates, TrackerNetwork
from spot.architectures.transt.network import TransTPrediction, cell_anchors


class Correlation(TrackerNetwork):
    """Each cell of the search crop says: target or not (2), cx, cy, w, h relative to the crop (4), predicted IoU (1).

    Args:
        backbone: images to features of stride 8.
        template_size, search_size: sides of the crops in pixels, multiples of 8.
        kernel: side of the correlation kernel in cells, odd.
    """

    def __init__(self, backbone: Backbone, template_size: int = 64, search_size: int = 128, kernel: int = 5) -> None:
        super().__init__()
        self.template_size, self.search_size, self.grid = template_size, search_size, search_size // 8
        self.backbone, self.kernel = backbone, kernel
        width = backbone.channels
        self.tower = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Conv2d(width, 6, 1)
        self.iou_head = nn.Conv2d(width, 1, 1)
        self.register_buffer("anchors", cell_anchors(self.grid), persistent=False)

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """The middle half of the features, where the target is, as a kernel (B, channels, kernel, kernel)."""
        features = self.backbone(template)
        margin = features.shape[-1] // 4
        return (F.adaptive_avg_pool2d(features[..., margin:-margin, margin:-margin], self.kernel),)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> TransTPrediction:
        """N = (search_size / 8) ** 2 cells, row by row."""
        (kernel,), features = template_features, self.backbone(search)
        kernels = kernel.flatten(0, 1)[:, None] / self.kernel**2
        one_row = features.flatten(0, 1)[None]
        matched = F.conv2d(one_row, kernels, padding=self.kernel // 2, groups=len(kernels)).view_as(features)
        fused = self.tower(torch.cat([features, matched], dim=1))
        logits, boxes = self.head(fused).flatten(2).transpose(1, 2).split([2, 4], dim=-1)
        ious = self.iou_head(fused.detach()).flatten(1)  # the judge of boxes must not make them worse
        return TransTPrediction(logits, (boxes + self.anchors).sigmoid(), ious.sigmoid())

    def candidates(self, prediction: TransTPrediction) -> Candidates:
        """Target probability, xywh box in search-crop pixels and predicted IoU of every cell."""
        boxes = box_convert(prediction.boxes * self.search_size, "cxcywh", "xywh")
        return Candidates(prediction.logits.softmax(-1)[..., 0], boxes, prediction.ious)
