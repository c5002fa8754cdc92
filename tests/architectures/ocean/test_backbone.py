"""Ocean's ResNet-50: geometry, where its weights come from, and freezing."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torchvision
from torch import nn
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from spot.architectures.backbones.staged import StagedBackbone
from spot.architectures.ocean.backbone import OceanResNet50
from spot.runtime.errors import SpotError


@pytest.fixture(scope="module")
def resnet():
    return OceanResNet50(weights="none").eval()


@pytest.mark.parametrize(("side", "cells"), [(63, 7), (127, 15), (255, 31)])
def test_sizes(side, cells):
    with torch.device("meta"):
        network = OceanResNet50(weights="none")
        assert network(torch.empty(1, 3, side, side)).shape == (1, 1024, cells, cells)


def test_cells_lie_symmetrically_about_the_centre_pixel(resnet):
    """With mirror-symmetric filters a mirrored crop has the mirrored features, if nothing is off centre."""
    torch.manual_seed(0)
    network = OceanResNet50(weights="none").eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = (module.weight.data + module.weight.data.flip(-1, -2)) / 2
    image = torch.randn(1, 3, 63, 63)
    with torch.no_grad():
        features, mirrored = network(image), network(image.flip(-1, -2))
    scale = features.abs().max().item()
    torch.testing.assert_close(mirrored.flip(-1, -2), features, rtol=0, atol=1e-4 * scale)


def same_weights(network: OceanResNet50, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("prefix", "nested"),
    [("features.features.", False), ("module.feature_extractor.features.", True), ("", False)],
    ids=["as in the published network", "wrapped, under state_dict", "bare"],
)
def test_published_pre_training_loads_fully(resnet, tmp_path, prefix, nested):
    """`imagenet_pretrain.model` names its tensors with wrappers' prefixes, and knows no stem."""
    state = {prefix + key.removeprefix("stem."): tensor for key, tensor in resnet.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if nested else state, tmp_path / "imagenet_pretrain.model")
    assert same_weights(OceanResNet50(str(tmp_path / "imagenet_pretrain.model")), resnet)


def test_ordinary_resnet_loads_and_keeps_its_function(tmp_path, caplog):
    """Two shortcuts are 3x3 here and 1x1 there: the 1x1 filter becomes the centre, where it looked before."""
    ordinary = torchvision.models.resnet50(weights=None)
    torch.save(ordinary.state_dict(), tmp_path / "resnet50.pth")
    with caplog.at_level(logging.INFO):
        network = OceanResNet50(str(tmp_path / "resnet50.pth"))
    assert caplog.text.count("is 1x1 and became the centre of a 3x3 kernel") == 2
    assert torch.equal(network.layer3[5].conv2.weight, ordinary.layer3[5].conv2.weight)
    features = torch.randn(1, 256, 15, 15)
    ours, theirs = (net.eval().layer2[0].downsample for net in (network, ordinary))
    # unpadded 3x3 at stride 2: centres 1, 3, ... 13
    torch.testing.assert_close(ours(features), theirs(features[..., 1:-1, 1:-1]))


def test_weights_that_do_not_fit_are_listed(resnet, tmp_path):
    state = resnet.state_dict()
    del state["layer3.5.conv3.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(SpotError, match=r"part\.pth: not the weights of OceanResNet50 \(missing: layer3\.5\.conv3"):
        OceanResNet50(str(tmp_path / "part.pth"))


@pytest.mark.parametrize("count", [-1, 5])
def test_a_wrong_number_of_fixed_stages_is_refused(count):
    with torch.device("meta"), pytest.raises(SpotError, match=rf"fixed_stages={count}"):
        OceanResNet50("none", fixed_stages=count)


class Small(StagedBackbone):
    """Three stages, the first of them fixed."""

    def __init__(self) -> None:
        super().__init__(fixed_stages=1)
        for i, width in enumerate((3, 4, 4)):
            self.add_module(f"stage{i}", nn.Sequential(nn.Conv2d(width, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))


class Student(nn.Module):
    """A backbone that is run twice a step, as for template and search, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Small()
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(search) * self.backbone(template).mean((2, 3), keepdim=True))


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """Parts of which a weight or a statistic has changed."""
    return {
        ".".join(key.split(".")[:2]) if key.startswith("backbone") else key.split(".")[0]
        for key, tensor in module.state_dict().items()
        if not torch.equal(tensor, before[key])
    }


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    template, search = (torch.randn(2, 3, 9, 9, generator=generator) for _ in range(2))
    optimizer.zero_grad()
    model(template, search).square().sum().backward()
    optimizer.step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """Weight decay and momentum would move parameters whose gradient is zero."""
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)


ALL = {"backbone.stage1", "backbone.stage2", "head"}


def test_frozen_stages_are_constants_whatever_train_says():
    student = Student()
    optimizer = sgd(student)
    for frozen, expected in ((True, {"head"}), (False, ALL), (True, {"head"})):
        student.backbone.freeze(frozen)
        student.eval().train()  # Lightning switches to and fro around validation
        before = snapshot(student)
        train_step(student, optimizer, seed=0)
        assert changed(student, before) == expected


def test_freezing_leaves_requires_grad_alone_and_makes_no_graph():
    backbone = Small()
    backbone.freeze(True)
    assert all(p.requires_grad for p in backbone.parameters())
    assert not backbone(torch.randn(1, 3, 9, 9)).requires_grad
    backbone.freeze(False)
    assert backbone(torch.randn(1, 3, 9, 9)).requires_grad


def test_freezing_acts_on_a_compiled_backbone():
    torch._dynamo.reset()
    backbone = Small()
    compiled = torch.compile(backbone, backend="eager", fullgraph=True)
    for frozen in (True, False, True):
        backbone.freeze(frozen)
        assert compiled(torch.randn(1, 3, 9, 9)).requires_grad is not frozen


def _thaw_in_two_processes(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", store, timedelta(seconds=60), world_size=2, rank=rank)
    try:
        torch.manual_seed(0)
        student = Student()
        wrapped = DistributedDataParallel(student, find_unused_parameters=True)
        optimizer = sgd(student)
        history = []
        for step, frozen in enumerate((True, True, False, False, True)):
            student.backbone.freeze(frozen)  # after wrapping, as at the start of an epoch
            before = snapshot(student)
            train_step(wrapped, optimizer, seed=10 * step + rank)
            history.append(sorted(changed(student, before)))
        torch.save((history, student.state_dict()), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_thawing_after_wrapping_reduces_gradients_across_processes(tmp_path):
    """The processes see different data, so equal weights prove that gradients of thawed stages were averaged."""
    spawn(_thaw_in_two_processes, (str(tmp_path),), nprocs=2)
    (history, first), (_, second) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert history == [["head"], ["head"], sorted(ALL), sorted(ALL), ["head"]]
    weights = [key for key in first if key.endswith(("weight", "bias"))]
    assert all(torch.equal(first[key], second[key]) for key in weights)
