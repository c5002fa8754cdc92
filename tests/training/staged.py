"""A small backbone that freezes as Ocean's does, for runs across the unfreezing that take seconds."""

from torch import nn

from spot.architectures.ocean.backbone import StagedBackbone


class SmallStages(StagedBackbone):
    """Three stages with BatchNorm, stride 8; the first is never trained. 16 channels."""

    channels = 16

    def __init__(self) -> None:
        super().__init__(fixed_stages=1)
        self.stem, self.middle, self.last = (_stage(*widths) for widths in ((3, 8), (8, 16), (16, 16)))


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


OCEAN = (
    "arch=ocean_tiny",
    "arch.network.channels=16",
    "arch.network.tower_depth=1",
    "arch.network.backbone._target_=tests.training.staged.SmallStages",
    "~arch.network.backbone.widths",
    "~arch.network.backbone.blocks",
    "arch.network.frozen_epochs=2",
)
"""Options of an Ocean whose backbone thaws after the second epoch."""
