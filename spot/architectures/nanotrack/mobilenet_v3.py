"""NanoTrack's backbone: MobileNetV3-Small (Howard et al., ICCV 2019) cut after its ninth layer, at stride 16.

torchvision's network of that name differs: it applies the squeeze-and-excitation after the activation, and its BatchNorm
has another epsilon. Published NanoTrack weights need the order and the constants of this file.
"""

from __future__ import annotations

from torch import Tensor, nn

from spot.architectures.backbones.staged import StagedBackbone

# kernel, input channels, expanded channels, output channels, squeezed channels (0: none), hard-swish, stride
BLOCKS = (
    (3, 16, 16, 16, 8, False, 2),
    (3, 16, 72, 24, 0, False, 2),
    (3, 24, 88, 24, 0, False, 1),
    (5, 24, 96, 40, 24, True, 2),
    (5, 40, 240, 40, 64, True, 1),
    (5, 40, 240, 40, 64, True, 1),
    (5, 40, 120, 48, 32, True, 1),
    (5, 48, 144, 48, 40, True, 1),
)


class MobileNetV3Small(StagedBackbone):
    """Features at stride 16 with 48 channels; one stage, which is frozen completely or not.

    Shapes: (B, 3, H, W) float with values in [0, 255] to (B, 48, ceil(H / 16), ceil(W / 16)).
    """

    channels = 48

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.features = nn.Sequential(stem, *(InvertedResidual(*block) for block in BLOCKS))


class InvertedResidual(nn.Module):
    """1x1 expansion, depth-wise convolution, squeeze-and-excitation, activation, 1x1 projection.

    The first block of the network does not expand. It applies the activation before the squeeze-and-excitation.
    The input is added where it has the shape of the output.
    """

    def __init__(
        self, kernel: int, channels: int, expanded: int, out: int, squeezed: int, hard_swish: bool, stride: int
    ) -> None:
        super().__init__()
        self.add_input = stride == 1 and channels == out
        depthwise = nn.Conv2d(expanded, expanded, kernel, stride, kernel // 2, groups=expanded, bias=False)
        excite = SqueezeExcitation(expanded, squeezed) if squeezed else nn.Identity()
        project = nn.Conv2d(expanded, out, 1, bias=False)
        if channels == expanded:
            layers = [depthwise, nn.BatchNorm2d(expanded), _activation(hard_swish), excite]
        else:
            expand = nn.Conv2d(channels, expanded, 1, bias=False)
            layers = [expand, nn.BatchNorm2d(expanded), _activation(hard_swish)]
            layers += [depthwise, nn.BatchNorm2d(expanded), excite, _activation(hard_swish)]
        self.conv = nn.Sequential(*layers, project, nn.BatchNorm2d(out))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out, ceil(H / stride), ceil(W / stride))."""
        return features + self.conv(features) if self.add_input else self.conv(features)


class SqueezeExcitation(nn.Module):
    """Weight the channels by their means over the image (Hu et al., CVPR 2018), with a hard sigmoid."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Hardsigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return features * self.fc(features.mean((2, 3))).view(*features.shape[:2], 1, 1)


def _activation(hard_swish: bool) -> nn.Module:
    return nn.Hardswish() if hard_swish else nn.ReLU()


def initialise(module: nn.Module) -> None:
    """Draw the weights of one module as the published program does; for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
