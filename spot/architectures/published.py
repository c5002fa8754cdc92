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
    """Information about loaded weights.

    Attributes:
        model: teacher or student; None if the file does not tell.
        epoch: number of finished epochs; None if the file does not tell.
    """

    model: str | None
    epoch: int | None


@dataclass(frozen=True)
class Weights(Loaded):
    """One network's weights.

    Attributes:
        tensors: all tensors of `state_dict()` by our names, in the order of the file.
        rest: other plain data of a published file.
        left_out: names of its objects that are not plain data.
    """

    tensors: dict[str, Tensor]
    rest: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


class PublishedFormat(ABC):
    """Reads and writes files of another program; found through `TrackerNetwork.published`."""

    @abstractmethod
    def read(self, files: Sequence[Path], content: Any, network: nn.Module) -> Weights | None:
        """Return the weights in foreign files, or None if the files do not have this format.

        Args:
            files: one file, or several that belong together.
            content: content of a single file of `torch.save`; None for files of another kind.
            network: network of the architecture.

        Raises:
            SpotError: the files have this format, but another architecture.
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
        """Return the content of a published file: these weights by their published names, in the same order."""
        epoch = {} if weights.epoch is None else {"epoch": weights.epoch}
        net = OrderedDict((self.published_key(key), tensor) for key, tensor in weights.tensors.items())
        return {"net_type": self.net_type, "net": net, **epoch, **weights.rest}

    def write(self, weights: Weights, network: nn.Module, target: Path) -> None:
        """See `PublishedFormat.write`."""
        write_file(target, self.content(weights))


def _role(path: Path, rest: Mapping[str, Any]) -> str | None:
    """Return teacher or student: from the file's name, else student if the file has an optimiser."""
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
