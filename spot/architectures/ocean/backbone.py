"""Ocean's ResNet-50 (docs/method.md section 6)."""

from __future__ import annotations

import logging
from collections import OrderedDict

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet50_Weights

from spot.architectures.backbones.pretrained import imagenet_state, load_state, read_state
from spot.architectures.backbones.staged import StagedBackbone
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)


class OceanResNet50(StagedBackbone):
    """ResNet-50 up to layer3 at stride 8 that cuts off where others pad (docs/method.md section 6).

    Its stages are stem, layer1, layer2 and layer3. The cells of a crop of 8n - 1 pixels lie symmetrically about the
    centre pixel: 15 x 15 for 127, 31 x 31 for 255.

    Args:
        weights: "none" (random), "imagenet" (torchvision's first version) or the path of a state dict, either of this
            network (the published `imagenet_pretrain.model`) or of an ordinary ResNet-50.
        fixed_stages: leading stages that are never trained; 1, the stem, as published.
    """

    channels = 1024

    def __init__(self, weights: str = "imagenet", fixed_stages: int = 1) -> None:
        super().__init__(fixed_stages)
        if not 0 <= fixed_stages <= 4:
            raise SpotError(f"backbone.fixed_stages={fixed_stages}: there are 4 stages; give 0 to 4")
        net = torchvision.models.resnet50(weights=None)
        net.conv1.padding = (0, 0)
        self.stem = nn.Sequential(OrderedDict(conv1=net.conv1, bn1=net.bn1, relu=net.relu, maxpool=net.maxpool))
        self.layer1, self.layer2, self.layer3 = net.layer1, net.layer2, net.layer3
        self.layer2[0].conv2.padding = (0, 0)
        self.layer2[0].downsample[0] = nn.Conv2d(256, 512, 3, stride=2, bias=False)
        self.layer3[0].conv2.stride = (1, 1)
        self.layer3[0].downsample[0] = nn.Conv2d(512, 1024, 3, padding=1, bias=False)
        for block in self.layer3[1:]:
            block.conv2.dilation = block.conv2.padding = (2, 2)
        for layer in (self.layer2, self.layer3):
            nn.init.kaiming_normal_(layer[0].downsample[0].weight, mode="fan_out", nonlinearity="relu")
        if weights != "none":
            state = imagenet_state(ResNet50_Weights.IMAGENET1K_V1) if weights == "imagenet" else read_state(weights)
            load_state(self, _adapted(state, weights), unused=("layer4.", "fc."), source=weights)


def _adapted(state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return a ResNet-50's tensors under the names and with the shapes that they have in `OceanResNet50`."""
    state = {_own_key(key): tensor for key, tensor in state.items()}
    for key in ("layer2.0.downsample.0.weight", "layer3.0.downsample.0.weight"):
        if key in state and state[key].shape[2:] == (1, 1):
            # The centre of the 3x3 shortcut lies where the 1x1 one looked, so the pre-trained function is kept.
            state[key] = F.pad(state[key], (1, 1, 1, 1))
            log.info("%s: %s is 1x1 and became the centre of a 3x3 kernel", source, key)
    return state


def _own_key(key: str) -> str:
    """Wrappers' prefixes are dropped, and the first layers are in the stem."""
    for prefix in ("module.", "feature_extractor.", "features.", "features."):
        key = key.removeprefix(prefix)
    return f"stem.{key}" if key.startswith(("conv1.", "bn1.")) else key
