"""Weights from a checkpoint into a network."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spot.errors import SpotError

# Where a training checkpoint keeps its networks, the preferred one first.
PREFIXES = {"teacher": "teacher.network.", "student": "student."}


@dataclass(frozen=True)
class Loaded:
    """What was loaded: `model` is teacher or student, `epoch` the number of finished epochs."""

    model: str
    epoch: int


def load_network(path: str | Path, network: nn.Module, model: str | None = None, arch: str | None = None) -> Loaded:
    """Load one network of a training checkpoint, in place.

    Args:
        path: a checkpoint file.
        network: of the checkpoint's architecture; every one of its tensors is set.
        model: teacher or student; None takes the teacher where there is one.
        arch: name of the network's architecture, compared with the checkpoint's.

    Raises:
        SpotError: no such file, no checkpoint, no such network in it, or one of another architecture.
    """
    checkpoint = read_checkpoint(path)
    found = checkpoint.get("hyper_parameters", {}).get("arch")
    if arch is not None and found is not None and found != arch:
        raise SpotError(f"{path} was trained with arch={found}, not {arch}; add arch={found}")
    networks = {name: _below(checkpoint["state_dict"], prefix) for name, prefix in PREFIXES.items()}
    present = [name for name, weights in networks.items() if weights]
    if model is None and present:
        model = present[0]
    if model not in present:
        raise SpotError(f"{path} holds no {model or 'network'}; it has: {', '.join(present) or 'nothing known'}")
    _fill(network, networks[model], path)
    return Loaded(model, int(checkpoint.get("epoch", -1)) + 1)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A Lightning checkpoint on the CPU, tensors and plain values only. Raises SpotError where it is none."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise SpotError(f"{path}: {error.strerror}; check checkpoint=") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise SpotError(f"{path} is no readable checkpoint ({reason}); give another file") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise SpotError(f"{path} is no training checkpoint: it has no state_dict; convert it with spot.convert")
    return checkpoint


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


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _fill(network: nn.Module, weights: dict[str, Tensor], path: str | Path) -> None:
    """Load all tensors or none."""
    wanted = network.state_dict()
    faults = {
        "lacks": sorted(wanted.keys() - weights.keys()),
        "has the unknown": sorted(weights.keys() - wanted.keys()),
        "has another shape of": [k for k in wanted.keys() & weights.keys() if wanted[k].shape != weights[k].shape],
    }
    told = [f"{verb} {keys[0]} and {len(keys) - 1} more" for verb, keys in faults.items() if keys]
    if told:
        raise SpotError(f"{path} does not fit the network: it {'; '.join(told)}; check arch= and its settings")
    network.load_state_dict(weights)
