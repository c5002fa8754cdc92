"""Folding keeps the function of every architecture."""

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from spot.architectures.folding import folded
from tests.training.configs import composed


@pytest.mark.parametrize(
    "options",
    [
        ["arch=transt_tiny"],
        ["arch=ocean_tiny"],
        ["arch=transt_tiny", "backbone@arch.network.backbone=resnet50", "arch.network.backbone.weights=none"],
        ["arch=transt_tiny", "backbone@arch.network.backbone=mobilenet_v2", "arch.network.backbone.weights=none"],
        ["arch=transt_small", "arch.network.backbone.weights=none"],
    ],
    ids=["own layers", "towers and matching", "bottlenecks with shortcuts", "inverted residuals", "timm's layers"],
)
def test_a_folded_network_says_the_same_in_double_precision(options):
    if "arch=transt_small" in options:
        pytest.importorskip("timm")
    torch.manual_seed(0)
    network = instantiate(composed("train", "data=synthetic", *options).arch.network).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # away from the identity that it starts as
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.uniform_(0.5, 1.5)
    network.eval()
    inputs = network.export_inputs(2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        plain, fast = network(*inputs), folded(network)(*inputs)
    for theirs, ours in zip(plain, fast, strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded(network).modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
