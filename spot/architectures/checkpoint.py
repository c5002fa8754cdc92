"""Checkpoints: the weights of one network, out of every kind of file that holds some.

A run's checkpoint   Lightning's: `state_dict` with student and teacher, `hyper_parameters`, `epoch`
A native file        `{"arch", "model", "epoch", "net", "rest"}`: one network by our names, and what else was plain data
                     in the published file that it was made from
A published file     `{"net_type", "net", ...}`: one network by the published names; the student's also has `epoch`,
                     `optimizer` and objects of the published program's classes
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spot.architectures.ocean import network as ocean
from spot.architectures.transt import network as transt
from spot.architectures.weight_files import read_file, state_faults
from spot.runtime.errors import SpotError

# Where a run's checkpoint keeps its networks, the preferred one first.
PREFIXES = {"teacher": "teacher.network.", "student": "student."}

# The published name of a parameter, by the class of the network, which has the same name on both sides.
PUBLISHED: dict[str, Callable[[str], str]] = {"TransT": transt.published_key, "Ocean": ocean.published_key}


@dataclass(frozen=True)
class Loaded:
    """What was loaded.

    Attributes:
        model: teacher or student, None where a file does not say.
        epoch: number of finished epochs, None where a file does not say.
    """

    model: str | None
    epoch: int | None


@dataclass(frozen=True)
class Weights(Loaded):
    """One network's weights.

    Attributes:
        tensors: all that `state_dict()` has, by our names, in the order of the file.
        rest: what else a published file holds that is plain data.
        left_out: names of what it holds that is not.
    """

    tensors: dict[str, Tensor]
    rest: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def load_network(
    path: str | Path,
    network: nn.Module,
    model: str | None = None,
    arch: str | None = None,
    allow_pickle: bool = False,
) -> Loaded:
    """Load a network in place; all of its tensors are set, or none. Arguments and errors as in `read_weights`."""
    weights = read_weights(path, network, model, arch, allow_pickle)
    network.load_state_dict(weights.tensors)
    return Loaded(weights.model, weights.epoch)


def read_weights(
    path: str | Path,
    network: nn.Module,
    model: str | None = None,
    arch: str | None = None,
    allow_pickle: bool = False,
) -> Weights:
    """The weights of one network out of a checkpoint.

    Args:
        path: a file of one of the kinds above, or a run's folder, whose latest checkpoint is taken.
        network: of the checkpoint's architecture.
        model: teacher or student; None takes the teacher where there is one.
        arch: name of the network's architecture, compared with the checkpoint's.
        allow_pickle: see `spot.architectures.weight_files.read_file`.

    Raises:
        SpotError: no such file, no checkpoint, no such network in it, one of another architecture, or one whose
            tensors are not exactly those of `network`.
    """
    path = Path(path)
    if path.is_dir():
        path = find_checkpoint(path)
    content = read_file(path, allow_pickle)
    keys = set(content) if isinstance(content, dict) else set()
    if {"net", "net_type"} <= keys:
        weights = _published(path, content, network)
    elif {"arch", "model", "epoch", "net", "rest"} <= keys:
        _compare_arch(path, content["arch"], arch)
        weights = Weights(content["model"], content["epoch"], content["net"], content["rest"])
    elif {"state_dict", "hyper_parameters", "epoch"} <= keys:
        _compare_arch(path, content["hyper_parameters"].get("arch"), arch)
        weights = _of_run(path, content, model)
    else:
        raise SpotError(
            f"{path} is no checkpoint of a tracker: neither a run's nor a converted nor a published one "
            "(for a backbone's weights: backbone.weights=, or kind=backbone in spot.convert)"
        )
    if model is not None and weights.model not in (None, model):
        raise SpotError(f"{path} holds the {weights.model}, no {model}; add model={weights.model} or take another")
    if faults := state_faults(network.state_dict(), weights.tensors):
        raise SpotError(f"{path} does not fit {type(network).__name__} ({faults}); check arch= and its settings")
    return weights


def find_checkpoint(run: str | Path, epoch: int | None = None) -> Path:
    """The checkpoint of a run's folder after `epoch` finished epochs; the latest without a number.

    Raises:
        SpotError: no such run, or no such epoch; the text lists those that there are.
    """
    folder = Path(run) / "checkpoints"
    kept = {int(m[1]): p for p in folder.glob("*.ckpt") if (m := re.fullmatch(r"epoch_(\d+)", p.stem))}
    last = folder / "last.ckpt"
    if epoch is None:
        if not kept and not last.is_file():
            raise SpotError(f"no checkpoints in {folder}; check run= or train it first")
        return last if last.is_file() else kept[max(kept)]
    if epoch not in kept:
        there = ", ".join(map(str, sorted(kept))) or "none"
        raise SpotError(f"{folder} has no checkpoint of epoch {epoch}; there are: {there}")
    return kept[epoch]


def native_content(weights: Weights, arch: str) -> dict[str, Any]:
    """What a native file holds: these weights, of the architecture of that name."""
    return {"arch": arch, "model": weights.model, "epoch": weights.epoch, "net": weights.tensors, "rest": weights.rest}


def published_content(weights: Weights, network: nn.Module) -> dict[str, Any]:
    """What a published file holds: these weights by their published names, in the same order.

    The published training program continues from it. Its test program also wants a `constructor`, an object of one of
    its own classes, which is to be taken from a file that it wrote itself.

    Raises:
        SpotError: the network's architecture was never published.
    """
    net_type, published_key = _published_names(network)
    epoch = {} if weights.epoch is None else {"epoch": weights.epoch}
    net = OrderedDict((published_key(key), tensor) for key, tensor in weights.tensors.items())
    return {"net_type": net_type, "net": net, **epoch, **weights.rest}


def _of_run(path: Path, content: Mapping[str, Any], model: str | None) -> Weights:
    networks = {name: _below(content["state_dict"], prefix) for name, prefix in PREFIXES.items()}
    present = [name for name, tensors in networks.items() if tensors]
    model = model or next(iter(present), None)
    if model not in present:
        raise SpotError(f"{path} holds no {model or 'network'}; it has: {', '.join(present) or 'nothing known'}")
    return Weights(model, content["epoch"] + 1, networks[model])


def _published(path: Path, content: Mapping[str, Any], network: nn.Module) -> Weights:
    net_type, published_key = _published_names(network)
    if content["net_type"] != net_type:
        found = content["net_type"]
        known = f"; add arch={found.lower()}" if found in PUBLISHED else ""
        raise SpotError(f"{path} holds net_type={found}, not {net_type}{known}")
    ours = {published_key(key): key for key in network.state_dict()}
    tensors = _without_prefix(content["net"], "module.")
    rest = {key: value for key, value in content.items() if key not in ("net_type", "net", "epoch")}
    plain = {key: value for key, value in rest.items() if _is_plain(value)}
    number = re.search(r"_ep(\d+)", path.name)
    return Weights(
        _role(path, rest),
        content.get("epoch", int(number[1]) if number else None),
        {ours.get(key, key): tensor for key, tensor in tensors.items()},
        plain,
        tuple(key for key in rest if key not in plain),
    )


def _published_names(network: nn.Module) -> tuple[str, Callable[[str], str]]:
    net_type = type(network).__name__
    if net_type not in PUBLISHED:
        raise SpotError(f"{net_type} has no published form; there is one of: {', '.join(PUBLISHED)}")
    return net_type, PUBLISHED[net_type]


def _role(path: Path, rest: Mapping[str, Any]) -> str | None:
    """Teacher or student: by the file's name, else the student is the one that is saved with its optimiser."""
    ending = re.search(r"_([ts])\.pth\.tar$", path.name)
    if ending:
        return "teacher" if ending[1] == "t" else "student"
    return "student" if "optimizer" in rest else None


def _is_plain(value: Any) -> bool:
    if type(value) in (dict, OrderedDict):
        return all(_is_plain(v) for v in value.values())
    if type(value) in (list, tuple):
        return all(_is_plain(v) for v in value)
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, Tensor)


def _compare_arch(path: Path, found: str | None, wanted: str | None) -> None:
    if None not in (found, wanted) and found != wanted:
        raise SpotError(f"{path} was trained with arch={found}, not {wanted}; add arch={found}")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Mapping[str, Tensor]:
    return _below(tensors, prefix) if all(key.startswith(prefix) for key in tensors) else tensors
