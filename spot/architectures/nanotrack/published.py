"""NanoTrack's published weights: PyTorch files, and the pair of ONNX files that `cv2.TrackerNano` loads.

The published networks expect BGR, ours RGB: the first convolution's input channels are swapped on the way in and out.
The published files have a `neck` that their network never calls; it is dropped. The IoU head is not in them.
Every `network` here is a `NanoTrack`; its file imports this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spot.architectures.nanotrack.onnx_pair import Layer, pair_names, read_layers, write_pair
from spot.architectures.published import PublishedFormat, Weights
from spot.architectures.weight_files import write_file
from spot.runtime.errors import SpotError

OWN_HEAD = "iou_head."
UNUSED = "neck."
FIRST_CONVOLUTION = "backbone.features.0.0.weight"

# Beginnings of our keys and of the published ones, by version; the backbone has the same names.
_NAMES = {
    1: {
        "match.attention.": "ban_head.corr_pw.CA_layer.",
        "cls_tower.": "ban_head.cls_tower.",
        "cls_pred.": "ban_head.cls_logits.0.",
        "box_tower.": "ban_head.bbox_tower.",
        "box_pred.": "ban_head.bbox_pred.0.",
    },
    2: {
        **{
            f"{ours}_match.{part}.": f"ban_head.corr_pw_{theirs}.{name}."
            for ours, theirs in (("box", "reg"), ("cls", "cls"))
            for part, name in (("template", "conv_kernel"), ("search", "conv_search"), ("attention", "CA_layer"))
        },
        "cls_tower.": "ban_head.cls_pw_tower.",
        "cls_pred.": "ban_head.cls_pred.0.",
        "box_tower.": "ban_head.bbox_pw_tower.",
        "box_pred.": "ban_head.bbox_pred.0.",
    },
}


class NanoFormat(PublishedFormat):
    """`{"epoch", "state_dict", ...}` by the published names, or one ONNX file of the backbone and one of the head."""

    def read(self, files: Sequence[Path], content: Any, network: Any) -> Weights | None:
        """See `PublishedFormat.read`; the IoU head is missing from the result."""
        if all(file.suffix == ".onnx" for file in files):
            if len(files) != 2:
                raise SpotError(f"{files[0]}: NanoTrack is two ONNX files; give source=[BACKBONE.onnx,HEAD.onnx]")
            return Weights(None, None, from_onnx(files, network))
        state = content.get("state_dict") if isinstance(content, dict) else None
        state = {key.removeprefix("module."): tensor for key, tensor in (state or {}).items()}
        if not any(key.startswith("ban_head.") for key in state):
            return None
        ours = {published_key(key, network.version): key for key in network.state_dict()}
        tensors = {ours.get(key, key): tensor for key, tensor in state.items() if not key.startswith(UNUSED)}
        if unknown := [key for key in tensors if key.startswith("ban_head.")]:
            raise SpotError(
                f"{files[0]} holds another version of NanoTrack than arch.network.version={network.version} "
                f"({unknown[0]}); add arch=nanotrack_v1 or arch=nanotrack_v2"
            )
        return Weights(None, content.get("epoch"), swap_channels(tensors))

    def targets(self, target: Path) -> tuple[Path, ...]:
        """See `PublishedFormat.targets`: a pair for a target that ends in .onnx, else one PyTorch file."""
        return pair_names(target) if target.suffix == ".onnx" else (target,)

    def write(self, weights: Weights, network: Any, target: Path) -> None:
        """See `PublishedFormat.write`. The IoU head is left out; the published program does not have it."""
        tensors = swap_channels(weights.tensors)
        if target.suffix == ".onnx":
            network.load_state_dict(tensors, strict=False)
            write_pair(network, target)
            return
        state = {published_key(k, network.version): v for k, v in tensors.items() if not k.startswith(OWN_HEAD)}
        write_file(target, {"epoch": weights.epoch or 0, "state_dict": state})


def published_key(key: str, version: int) -> str:
    """Return the published name of one of `NanoTrack`'s parameters or buffers (a pure renaming)."""
    for ours, theirs in _NAMES[version].items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def swap_channels(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same network for the other order of the colour channels, RGB or BGR."""
    return {key: tensor.flip(1) if key == FIRST_CONVOLUTION else tensor for key, tensor in tensors.items()}


def from_onnx(files: Sequence[Path], network: Any) -> dict[str, Tensor]:
    """Return our state dict, without the IoU head, from the pair of files that OpenCV loads.

    BatchNorm is folded into the convolutions of these files and cannot be unfolded. Ours becomes the identity (variance
    1 - eps), with the folded bias as its shift. Training knows it by that and leaves it as it is (`network.is_folded`).

    Args:
        files: backbone and head, in any order.
        network: a `NanoTrack` of the files' version.

    Raises:
        SpotError: a file is damaged, or holds another network.
    """
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and not name.startswith(OWN_HEAD)
    ]
    parts = {
        "backbone": [name for name in names if name.startswith("backbone.")],
        "head": [name for name in names if not name.startswith("backbone.")],
    }
    read = {path: read_layers(path) for path in files}
    tensors: dict[str, Tensor] = {}
    for path, layers in read.items():
        # Only the backbone sees images, which have three channels.
        part = "backbone" if layers and layers[0].weight.shape[1] == 3 else "head"
        if part not in parts:
            raise SpotError(f"{path}: both files are the {part}; give one of the backbone and one of the head")
        tensors |= _tensors(path, layers, parts.pop(part), network)
    order = [key for key in network.state_dict() if key in tensors]
    return swap_channels({key: tensors[key] for key in order})


def _tensors(path: Path, layers: Sequence[Layer], names: Sequence[str], network: Any) -> dict[str, Tensor]:
    """Return the weights of the named layers and the BatchNorms after them, from one file's layers in the same order."""
    modules = dict(network.named_modules())
    shapes = [tuple(modules[name].weight.shape) for name in names]
    if [tuple(layer.weight.shape) for layer in layers] != shapes:
        raise SpotError(
            f"{path} does not hold a part of NanoTrack v{network.version} ({len(layers)} layers, not the {len(shapes)} "
            "expected, or of other shapes); check arch=nanotrack_v1 or arch=nanotrack_v2"
        )
    found = {}
    for name, layer in zip(names, layers, strict=True):
        width = len(layer.weight)
        bias = torch.zeros(width) if layer.bias is None else layer.bias
        found[f"{name}.weight"] = layer.weight
        norm = _following_norm(name, modules)
        if modules[name].bias is not None:
            found[f"{name}.bias"] = torch.zeros(width) if norm else bias
        if norm:
            found[f"{norm}.weight"], found[f"{norm}.bias"] = torch.ones(width), bias
            found[f"{norm}.running_mean"] = torch.zeros(width)
            found[f"{norm}.running_var"] = torch.full((width,), 1 - modules[norm].eps)
            found[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return found


def _following_norm(name: str, modules: Mapping[str, nn.Module]) -> str | None:
    """Return the name of the BatchNorm right behind a layer of a sequence."""
    parent, _, index = name.rpartition(".")
    follower = f"{parent}.{int(index) + 1}" if index.isdigit() else ""
    return follower if isinstance(modules.get(follower), nn.BatchNorm2d) else None
