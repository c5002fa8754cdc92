"""The pair of ONNX files that `cv2.TrackerNano` loads: reading their weights, writing them from a network."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spot.architectures.export import need_packages, quiet_exporter
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError


class Layer(NamedTuple):
    """A convolution or linear layer: weight in PyTorch's layout, bias or None."""

    weight: Tensor
    bias: Tensor | None


class _Backbone(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone = network.backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)


class _Head(nn.Module):
    """Template and search features to logits (B, 2, H, W) and distances (B, 4, H, W)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        network = self.network
        # in the order of the published files, by which `read_layers` knows the layers
        maps = [match(match.kernel(template), search) for match in network.matches]
        logits = network.cls_pred(network.cls_tower(maps[-1]))
        return logits, network.box_pred(network.box_tower(maps[0])).exp()


def pair_names(target: Path) -> tuple[Path, Path]:
    """Return the files of backbone and head that `folder/stem.onnx` stands for."""
    return target.with_name(f"{target.stem}_backbone.onnx"), target.with_name(f"{target.stem}_head.onnx")


def read_layers(path: Path) -> list[Layer]:
    """Return the convolutions and linear layers of a file, in the order of its graph.

    Raises:
        SpotError: the file is missing or damaged, or the package onnx is not installed.
    """
    need_packages()
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except OSError as error:
        raise SpotError(f"{path}: {error.strerror}; check the path") from None
    except Exception as error:  # protobuf's own classes, and others
        raise SpotError(f"{path} is not an ONNX file, or is damaged ({str(error)[:80]}); take a fresh copy") from None
    values = {tensor.name: tensor for tensor in graph.initializer}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(np.array(numpy_helper.to_array(values[name])))

    return [
        Layer(tensor(node.input[1]), tensor(node.input[2]) if len(node.input) > 2 else None)
        for node in graph.node
        if node.op_type in ("Conv", "Gemm") and node.input[1] in values
    ]


def write_pair(network: Any, target: Path) -> None:
    """Write both files, with BatchNorm folded and the input and output names of the published ones.

    Args:
        network: a `NanoTrack` with weights for BGR images in [0, 255].
        target: see `pair_names`. Files of these names are replaced.
    """
    network = with_folded_norms(network.cpu().float())
    images = torch.rand(1, 3, network.search_size, network.search_size) * 255
    with torch.no_grad():
        search = network.backbone(images)
        template = network.backbone(images[..., : network.template_size, : network.template_size])
    files = pair_names(target)
    _export(_Backbone(network), (images,), ["input"], ["output"], files[0])
    _export(_Head(network), (template, search), ["input1", "input2"], ["output1", "output2"], files[1])


def with_folded_norms(network: Any) -> Any:
    """Return a copy in evaluation mode whose convolutions do the work of the BatchNorm behind them."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for i, (convolution, norm) in enumerate(pairwise(module)):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return network


def _export(part: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str], file: Path) -> None:
    with quiet_exporter():
        program = torch.onnx.export(
            part.eval(), inputs, input_names=names, output_names=outputs, dynamo=True, verbose=False
        )
    assert program is not None
    with replacing(file) as partial:
        program.save(partial)
