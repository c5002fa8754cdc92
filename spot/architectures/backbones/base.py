"""The interface of a backbone: images to a feature map of stride 8."""

from __future__ import annotations

from torch import nn


class Backbone(nn.Module):
    """Normalised images (B, 3, H, W) to features (B, channels, H / 8, W / 8)."""

    channels: int
