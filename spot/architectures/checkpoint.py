"""Checkpoints: read the weights of one network from any supported kind of file.

A run's checkpoint   Lightning's: `state_dict` with student and teacher, `hyper_parameters`, `epoch`
A native file        `{"arch", "model", "epoch", "net", "rest"}`: one network by our names, and what else was plain data
                     in the published file that it was made from
A safetensors file   the same by our names; its metadata hold arch, model, epoch and the architecture's settings
A published file     what the architecture's `published.py` reads: one network by the names of another program
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spot.architectures.base import TrackerNetwork
from spot.architectures.published import Loaded, Weights
from spot.architectures.weight_files import read_file, state_faults
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)

SAFETENSORS = ".safetensors"

# Prefixes of the networks in a run's checkpoint, the preferred one first.
PREFIXES = {"teacher": "teacher.network.", "student": "student."}


def load_network(
    path: str | Path | Sequence[Path],
    network: TrackerNetwork,
    model: str | None = None,
    arch: str | None = None,
    allow_pickle: bool = False,
) -> Loaded:
    """Load a network in place; either all tensors are set or none. Arguments and errors as in `read_weights`.

    Optional tensors (`TrackerNetwork.optional`) that the file lacks are unchanged, and a warning names them.
    """
    weights = read_weights(path, network, model, arch, allow_pickle)
    network.load_state_dict(weights.tensors, strict=False)  # `read_weights` has compared the names
    if new := [name for name, _ in network.named_parameters() if name not in weights.tensors]:
        named = path if isinstance(path, str | Path) else ", ".join(map(str, path))
        log.warning("%s: no %s; its %d tensors start from random values", named, new[0].split(".")[0], len(new))
    return Loaded(weights.model, weights.epoch)


def read_weights(
    path: str | Path | Sequence[Path],
    network: TrackerNetwork,
    model: str | None = None,
    arch: str | None = None,
    allow_pickle: bool = False,
) -> Weights:
    """Read the weights of one network from a checkpoint.

    Args:
        path: a file of one of the kinds above, or a run's folder, whose latest checkpoint is taken; several files if a
            published form has several.
        network: of the checkpoint's architecture.
        model: teacher or student; None takes the teacher where there is one.
        arch: name of the network's architecture, compared with the checkpoint's.
        allow_pickle: see `spot.architectures.weight_files.read_file`.

    Raises:
        SpotError: the file does not exist, is not a checkpoint, lacks this network, has another architecture, or its
            tensors are not exactly those of `network` (optional ones may be missing).
    """
    files = [Path(path)] if isinstance(path, (str, Path)) else [Path(each) for each in path]
    path = files[0]
    if path.is_dir():
        path = find_checkpoint(path)
        files = [path]
    if path.suffix == SAFETENSORS:
        return _checked(path, _of_safetensors(path, arch), network, model)
    content: Any = read_file(path, allow_pickle) if len(files) == 1 and path.suffix != ".onnx" else None
    keys = set(content) if isinstance(content, dict) else set()
    foreign = network.published.read(files, content, network) if network.published else None
    if foreign is not None:
        weights = foreign
    elif {"arch", "model", "epoch", "net", "rest"} <= keys:
        _compare_arch(path, content["arch"], arch)
        weights = Weights(content["model"], content["epoch"], content["net"], content["rest"])
    elif {"state_dict", "hyper_parameters", "epoch"} <= keys:
        _compare_arch(path, content["hyper_parameters"].get("arch"), arch)
        weights = _of_run(path, content, model)
    else:
        raise SpotError(
            f"{path} is not a checkpoint of a tracker, neither of a run nor converted nor published "
            "(for a backbone's weights: backbone.weights=, or kind=backbone in spot.convert)"
        )
    return _checked(path, weights, network, model)


def _checked(path: Path, weights: Weights, network: TrackerNetwork, model: str | None) -> Weights:
    if model is not None and weights.model not in (None, model):
        raise SpotError(
            f"{path} has the {weights.model}, not the {model}; add model={weights.model} or take another file"
        )
    own = network.state_dict()
    expected = {key: own[key] for key in own if key in weights.tensors or not key.startswith(network.optional)}
    if faults := state_faults(expected, weights.tensors):
        raise SpotError(f"{path} does not fit {type(network).__name__} ({faults}); check arch= and its settings")
    return weights


def find_checkpoint(run: str | Path, epoch: int | None = None) -> Path:
    """Return the checkpoint of a run's folder after `epoch` finished epochs; the latest without a number.

    Raises:
        SpotError: the run or epoch does not exist; the message lists the existing epochs.
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
    """Return the content of a native file: these weights and the name of the architecture."""
    return {"arch": arch, "model": weights.model, "epoch": weights.epoch, "net": weights.tensors, "rest": weights.rest}


def _of_run(path: Path, content: Mapping[str, Any], model: str | None) -> Weights:
    networks = {name: _below(content["state_dict"], prefix) for name, prefix in PREFIXES.items()}
    present = [name for name, tensors in networks.items() if tensors]
    model = model or next(iter(present), None)
    if model not in present:
        raise SpotError(f"{path} has no {model or 'network'}; it has: {', '.join(present) or 'nothing known'}")
    return Weights(model, content["epoch"] + 1, networks[model])


def _compare_arch(path: Path, found: str | None, wanted: str | None) -> None:
    if None not in (found, wanted) and found != wanted:
        raise SpotError(f"{path} was trained with arch={found}, not {wanted}; add arch={found}")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def write_safetensors(target: Path, weights: Weights, config: Mapping[str, Any]) -> None:
    """Write one network as safetensors atomically.

    Args:
        target: the file.
        weights: what to write; `rest` is left out.
        config: plain settings of the architecture with its `name`; `safetensors_config` returns them.
    """
    about = {
        "arch": config["name"],
        "model": weights.model or "",
        "epoch": "" if weights.epoch is None else weights.epoch,
    }
    metadata = {key: str(value) for key, value in about.items()} | {"config": json.dumps(config)}
    tensors = {key: tensor.contiguous() for key, tensor in weights.tensors.items()}
    with replacing(target, "choose another target") as aside:
        save_file(tensors, aside, metadata)


def safetensors_config(path: Path) -> dict[str, Any] | None:
    """Return the architecture's settings from a safetensors file; None for files without settings.

    Raises:
        SpotError: the file or the settings in it are damaged.
    """
    if path.suffix != SAFETENSORS:
        return None
    config = read_safetensors(path)[0].get("config")
    if config is None:
        return None
    try:
        settings = json.loads(config)
        if not isinstance(settings, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise SpotError(f"{path}: the settings inside are damaged; take a fresh copy, or name arch=") from None
    return settings


def _of_safetensors(path: Path, arch: str | None) -> Weights:
    metadata, tensors = read_safetensors(path)
    _compare_arch(path, metadata.get("arch"), arch)
    epoch = metadata.get("epoch") or None
    return Weights(metadata.get("model") or None, None if epoch is None else int(epoch), tensors)


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a safetensors file. Raise SpotError if it cannot be read."""
    try:
        with safe_open(path, "pt") as content:
            return content.metadata() or {}, {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SpotError(f"{path}: cannot be read as safetensors ({error}); check the file") from None
