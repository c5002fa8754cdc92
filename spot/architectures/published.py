"""The interface of a foreign weight format: how another program stores an architecture's weights."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spot.architectures.weight_files import write_file
from spot.runtime.errors import SpotError


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


class PublishedFormat(ABC):
    """Reads and writes files of another program; found through `TrackerNetwork.published`."""

    @abstractmethod
    def read(self, files: Sequence[Path], content: Any, network: nn.Module) -> Weights | None:
        """Return the weights that foreign files hold, or None if they are of no format known here.

        Args:
            files: one file, or several that belong together.
            content: what a single file of `torch.save` holds; None for files of another kind.
            network: of the architecture.

        Raises:
            SpotError: the files are of this format, and hold another architecture.
        """

    @abstractmethod
    def write(self, weights: Weights, network: nn.Module, target: Path) -> None:
        """Write the weights as the other program does, to `targets(target)`."""

    def targets(self, target: Path) -> tuple[Path, ...]:
        """Return the files that `write` makes."""
        return (target,)


class NetTypeFormat(PublishedFormat):
    """Files of the published SP-TransT and SP-Ocean: `{"net_type", "net", ...}`, one network by the published names.

    The student's file also has `epoch`, `optimizer` and objects of the published program's classes. The published
    training program continues from what `write` makes. Its test program also wants a `constructor`, an object of one of
    its own classes, which only that program can write.

    Args:
        net_type: name of the network in the files.
    """

    def __init__(self, net_type: str) -> None:
        self.net_type = net_type

    @abstractmethod
    def published_key(self, key: str) -> str:
        """Return the published name of one of our parameters or buffers (a pure renaming)."""

    def read(self, files: Sequence[Path], content: Any, network: nn.Module) -> Weights | None:
        """See `PublishedFormat.read`."""
        if not isinstance(content, dict) or not {"net", "net_type"} <= content.keys():
            return None
        path, found = files[0], str(content["net_type"])
        if found != self.net_type:
            raise SpotError(f"{path} holds net_type={found}, not {self.net_type}; add arch={found.lower()}")
        ours = {self.published_key(key): key for key in network.state_dict()}
        net: Mapping[str, Tensor] = content["net"]
        prefix = "module." if all(key.startswith("module.") for key in net) else ""
        tensors = {key.removeprefix(prefix): tensor for key, tensor in net.items()}
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

    def content(self, weights: Weights) -> dict[str, Any]:
        """Return what a published file holds: these weights by their published names, in the same order."""
        epoch = {} if weights.epoch is None else {"epoch": weights.epoch}
        net = OrderedDict((self.published_key(key), tensor) for key, tensor in weights.tensors.items())
        return {"net_type": self.net_type, "net": net, **epoch, **weights.rest}

    def write(self, weights: Weights, network: nn.Module, target: Path) -> None:
        """See `PublishedFormat.write`."""
        write_file(target, self.content(weights))


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
