"""Files of tensors: read without running code from the file, written atomically."""

from __future__ import annotations

import logging
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)


def read_file(path: str | Path, allow_pickle: bool = False) -> Any:
    """Read a file that `torch.save` wrote, tensors on the CPU and mapped from the file where it allows that.

    No code of the file runs. Tensors and plain values are read. Objects of other classes, which published files have,
    are replaced by empty objects.

    Args:
        path: the file.
        allow_pickle: not needed any more; True gives a notice.

    Raises:
        SpotError: no such file, or a damaged or foreign one.
    """
    if allow_pickle:
        log.warning("allow_pickle=true is not needed any more: tensors are read without running what a file holds")
    try:
        with open(path, "rb") as file:
            is_zip = zipfile.is_zipfile(file)
    except OSError as error:
        raise SpotError(f"{path}: {error.strerror}; check the path") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        if not re.search(r"GLOBAL |<class |[Uu]nsupported (global|class|operand)", str(error)):
            raise _unreadable(path, error) from None
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(path, error) from None
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_TensorsAlone)
    except Exception as error:
        raise _unreadable(path, error) from None


def write_file(target: str | Path, content: Any) -> None:
    """`torch.save` a file atomically. Raise SpotError if it cannot be written."""
    with replacing(target, "choose another target") as aside, open(aside, "wb") as file:
        torch.save(content, file)


def state_faults(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Describe how `found` differs from the state dict `own`; empty if it fits.

    The first names of missing tensors, unknown tensors and tensors of another shape are given.
    """
    faults = {
        "missing": [key for key in own if key not in found],
        "surplus": [key for key in found if key not in own],
        "misshapen": [key for key in own if key in found and getattr(found[key], "shape", None) != own[key].shape],
    }
    return "; ".join(f"{fault}: {_some(keys)}" for fault, keys in faults.items() if keys)


def _some(keys: list[str], shown: int = 3) -> str:
    more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return ", ".join(keys[:shown]) + more


class _StandIn(dict):
    """Replaces an object of a class that is not read. It ignores everything that a pickle puts into it."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self, *_: Any, **__: Any) -> _StandIn:
        return self

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...


# What a pickle of tensors needs; nothing here runs code that comes from the file.
_READ = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
}


class _Unpickler(pickle.Unpickler):
    """Reads tensors and plain values. Every other class or function is replaced by `_StandIn`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _READ:
            return super().find_class(module, name)
        found = getattr(torch, name, None) if module == "torch" and name.isidentifier() else None
        if isinstance(found, torch.dtype) or (name.endswith("Storage") and isinstance(found, type)):
            return found
        return type(name.rpartition(".")[2], (_StandIn,), {"__module__": module})


class _TensorsAlone:
    """The part of a pickle module that `torch.load` needs."""

    Unpickler = _Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        return _Unpickler(file, **options).load()


def _unreadable(path: str | Path, error: Exception) -> SpotError:
    text = str(error).split("\n", 1)[0]
    # the reader's advice to trust the file would mislead here
    reason = "" if isinstance(error, pickle.UnpicklingError) or not text else f" ({text[:160]})"
    return SpotError(f"{path} is not a file of tensors, or is damaged{reason}; take another or a fresh copy")
