"""NanoTrack's published weights: PyTorch files and the pair of ONNX files that `cv2.TrackerNano` loads.

The published networks expect BGR, ours RGB: the first convolution's input channels are swapped on the way in and out.
The published files have a `neck` that their network never calls; it is dropped. The IoU head is not in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from spot.architectures.nanotrack.network import NanoTrack
from spot.runtime.errors import SpotError

OWN_HEAD = "iou_head."
UNUSED = "neck."
FIRST_CONVOLUTION = "backbone.features.0.0.weight"

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


def published_key(key: str, version: int) -> str:
    """The published name of one of `NanoTrack`'s parameters or buffers; the backbone has the same names."""
    for ours, theirs in _NAMES[version].items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def swap_channels(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network for the other order of the colour channels, RGB or BGR."""
    return {key: tensor.flip(1) if key == FIRST_CONVOLUTION else tensor for key, tensor in tensors.items()}


def from_published(tensors: Mapping[str, Tensor], version: int) -> dict[str, Tensor]:
    """A published state dict by our names, for RGB. Unknown names stay, so that the loader can name them."""
    network = NanoTrack(version)
    ours = {published_key(key, version): key for key in network.state_dict()}
    kept = {ours.get(key, key): tensor for key, tensor in tensors.items() if not key.startswith(UNUSED)}
    return swap_channels(kept)


def to_published(tensors: Mapping[str, Tensor], version: int) -> dict[str, Tensor]:
    """Our state dict by the published names, for BGR; without the IoU head, which the published program does not have."""
    swapped = swap_channels(tensors)
    return {published_key(key, version): value for key, value in swapped.items() if not key.startswith(OWN_HEAD)}


def from_onnx(backbone: str | Path, head: str | Path, network: NanoTrack) -> dict[str, Tensor]:
    """Our state dict, without the IoU head, from the pair of files that OpenCV loads.

    BatchNorm is folded into the convolutions of these files and cannot be unfolded: ours becomes the identity, with the
    folded bias as its shift. Train such weights with `freeze_norms`.

    Args:
        backbone, head: the files, in any order.
        network: of the files' version.

    Raises:
        SpotError: a file is damaged, or holds another network.
    """
    parts = {Path(path): _layers(Path(path)) for path in (backbone, head)}
    state = {key: tensor.clone() for key, tensor in network.state_dict().items() if not key.startswith(OWN_HEAD)}
    modules = dict(network.named_modules())
    left = [[name for name in _order(network) if name.startswith("backbone.") is inside] for inside in (True, False)]
    for path, layers in sorted(parts.items(), key=lambda part: -len(part[1])):
        names = left[0] if layers and layers[0][0].shape[1:] == (3, 3, 3) else left[1]
        _take(path, layers, names, modules, state, type(network).__name__, network.version)
        names.clear()
    if any(left):
        raise SpotError(f"{backbone} and {head} are two files of one kind; give the backbone's file and the head's")
    return swap_channels(state)


def _take(
    path: Path,
    layers: list[tuple[Tensor, Tensor | None]],
    names: list[str],
    modules: Mapping[str, nn.Module],
    state: dict[str, Tensor],
    kind: str,
    version: int,
) -> None:
    """Copy the weights of one file, in the order in which the network applies them, into `state`."""
    shapes = [tuple(state[f"{name}.weight"].shape) for name in names]
    if [tuple(weight.shape) for weight, _ in layers] != shapes:
        raise SpotError(
            f"{path} does not hold this part of {kind} v{version} ({len(layers)} layers, expected {len(shapes)}); "
            "check arch=nanotrack_v1 or nanotrack_v2, and give one backbone file and one head file"
        )
    for name, (weight, bias) in zip(names, layers, strict=True):
        state[f"{name}.weight"] = weight
        norm = _following_norm(name, modules)
        if norm is not None:
            shift = torch.zeros(len(weight)) if bias is None else bias
            state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.ones(len(weight)), shift
            state[f"{norm}.running_mean"] = torch.zeros(len(weight))
            state[f"{norm}.running_var"] = torch.full((len(weight),), 1 - modules[norm].eps)  # type: ignore[arg-type]
        if f"{name}.bias" in state:
            inside = bias is not None and norm is None
            state[f"{name}.bias"] = bias if inside else torch.zeros(len(weight))  # type: ignore[assignment]


def _order(network: NanoTrack) -> Iterator[str]:
    """Names of the convolutions and linear layers, in the order in which the published head and backbone apply them."""
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and not name.startswith(OWN_HEAD):
            yield name


def _following_norm(name: str, modules: Mapping[str, nn.Module]) -> str | None:
    """The BatchNorm right behind a layer of a sequence."""
    parent, _, index = name.rpartition(".")
    follower = f"{parent}.{int(index) + 1}" if index.isdigit() else ""
    return follower if isinstance(modules.get(follower), nn.BatchNorm2d) else None


def _layers(path: Path) -> list[tuple[Tensor, Tensor | None]]:
    """Weight and bias of each convolution and linear layer of an ONNX file, in the order of its graph."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise SpotError('reading ONNX needs onnx; pip install "spot-tracking[onnx]"') from None
    try:
        graph = onnx.load(str(path)).graph
    except OSError as error:
        raise SpotError(f"{path}: {error.strerror}; check the path") from None
    except Exception as error:  # protobuf raises its own classes, and others
        raise SpotError(f"{path} is no ONNX file, or is damaged ({str(error)[:100]}); take a fresh copy") from None
    values = {tensor.name: tensor for tensor in graph.initializer}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(np.array(numpy_helper.to_array(values[name])))

    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in values:
            bias = tensor(node.input[2]) if len(node.input) > 2 and node.input[2] in values else None
            found.append((tensor(node.input[1]), bias))
    return found
