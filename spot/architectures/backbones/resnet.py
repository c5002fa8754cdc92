"""ResNet-50 at stride 8."""

from __future__ import annotations

import torchvision
from torch import Tensor
from torchvision.models import ResNet50_Weights

from spot.architectures.backbones.base import Backbone
from spot.architectures.backbones.pretrained import imagenet_state, load_state, read_state


class ResNet50(Backbone):
    """ResNet-50 up to layer3 at stride 8 (docs/method.md section 6).

    Args:
        weights: "none", "imagenet" (torchvision's first version) or the path of a ResNet-50 state dict.
    """

    channels = 1024

    def __init__(self, weights: str = "imagenet") -> None:
        super().__init__()
        net = torchvision.models.resnet50(weights=None)
        first = net.layer3[0]
        # The first block alone is dilated; torchvision's replace_stride_with_dilation dilates all the others instead.
        first.conv2.stride, first.conv2.dilation, first.conv2.padding = (1, 1), (2, 2), (2, 2)
        first.downsample[0].stride = (1, 1)
        self.conv1, self.bn1, self.relu, self.maxpool = net.conv1, net.bn1, net.relu, net.maxpool
        self.layer1, self.layer2, self.layer3 = net.layer1, net.layer2, net.layer3
        if weights != "none":
            state = imagenet_state(ResNet50_Weights.IMAGENET1K_V1) if weights == "imagenet" else read_state(weights)
            load_state(self, state, unused=("layer4.", "fc."), source=weights)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1024, H / 8, W / 8)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer3(self.layer2(self.layer1(x)))
