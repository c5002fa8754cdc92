"""BatchNorm folded into the convolutions before it, for what is done with training."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """A copy in evaluation mode in which every convolution does the work of the BatchNorm that follows it."""
    network = copy.deepcopy(network)
    fold_norms(network)
    return network


def fold_norms(network: nn.Module) -> None:
    """Fold in place, in evaluation mode.

    The function is the same but for rounding; the network cannot be trained any more. A BatchNorm is folded where its
    module holds it right after a convolution of as many channels, which is how all our networks apply them; of timm's
    kind, which comes with an activation, that remains.
    """
    network.eval()
    for module in list(network.modules()):
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if (
                isinstance(conv, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and norm.num_features == conv.out_channels
            ):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))
