"""Weights from which training starts: the project's own or those of a file.

A start file is safetensors. It has the tensors in half precision, without those from an ImageNet package. Its metadata
name the architecture and the training data.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors.torch import save_file

from spot.architectures.base import TrackerNetwork
from spot.architectures.checkpoint import SAFETENSORS, load_network, read_safetensors
from spot.architectures.hub import local_path
from spot.architectures.weight_files import state_faults
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

DEFAULT = "default"
FOLDER = Path(__file__).with_name("start_files")

log = logging.getLogger(__name__)


def start_file(arch: str) -> Path:
    """Return the file of the project's start weights of an architecture. It may not exist."""
    return FOLDER / f"{arch}{SAFETENSORS}"


def load_initial(network: TrackerNetwork, initial: str | Path | None, arch: str) -> None:
    """Load the weights from which training starts, in place.

    Args:
        network: as the configuration builds it.
        initial: None keeps the network as it is. "default" takes the weights that come with the project. Else a start
            file, a checkpoint, a run's folder (see `spot.architectures.checkpoint.load_network`), or one of these files
            on the hub (see `spot.architectures.hub`).
        arch: name of the architecture.

    Raises:
        SpotError: there is no such file, or it belongs to another architecture.
    """
    if initial is None:
        return
    if str(initial) == DEFAULT:
        if not start_file(arch).is_file():
            known = ", ".join(sorted(file.stem for file in FOLDER.glob(f"*{SAFETENSORS}"))) or "none"
            log.warning(
                "initial=default: no start weights come with arch=%s (there are some for: %s); the network starts from "
                "its backbone alone and needs about ten times as many epochs; or give initial=FILE",
                arch,
                known,
            )
            return
        read_start(start_file(arch), network, arch)
        return
    path = local_path(initial)
    if path.suffix == SAFETENSORS:
        read_start(path, network, arch)
    else:
        load_network(path, network, arch=arch)


def read_start(file: Path, network: TrackerNetwork, arch: str) -> None:
    """Load a start file in place; tensors that it does not have are unchanged.

    Raises:
        SpotError: the file is missing, damaged, or of another architecture.
    """
    metadata, tensors = read_safetensors(file)
    found = metadata.get("arch", "?")
    if found != arch:
        raise SpotError(f"{file}: holds weights of arch={found}, not {arch}; add arch={found}")
    own = network.state_dict()
    whole = own | {key: value.to(own[key].dtype) if key in own else value for key, value in tensors.items()}
    if faults := state_faults(own, whole):
        raise SpotError(f"{file}: does not fit arch={arch} ({faults}); leave its settings as they are")
    network.load_state_dict(whole)


def write_start(file: Path, trained: TrackerNetwork, fresh: TrackerNetwork, arch: str, source: str) -> None:
    """Write a start file atomically.

    Args:
        trained: the network whose weights are kept.
        fresh: the same architecture before training; tensors that are equal in both are left out.
        arch: name of the architecture.
        source: what the weights were trained on, in words.
    """
    before = fresh.state_dict()
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in trained.state_dict().items()
        if not torch.equal(value, before[key])
    }
    with replacing(file) as aside:
        save_file(tensors, aside, {"arch": arch, "source": source})
