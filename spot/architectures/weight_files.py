"""Files of tensors: read without running what they hold, written whole or not at all."""

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
    """Content of a file that `torch.save` wrote, tensors on the CPU and mapped from the file where it allows that.

    Args:
        path: tensors and plain values alone are read (`weights_only=True`).
        allow_pickle: read other objects too, which runs whatever code the file holds. Objects of classes that are not
            installed become empty ones.

    Raises:
        SpotError: no such file, a damaged or foreign one, or one with objects of other classes.
    """
    try:
        with open(path, "rb") as file:
            is_zip = zipfile.is_zipfile(file)
    except OSError as error:
        raise SpotError(f"{path}: {error.strerror}; check the path") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)|<class '(\S+)'>", str(error))
        if foreign is None and not allow_pickle:
            raise _unreadable(path, error) from None
    except Exception as error:  # damaged files make the reader stumble anywhere
        raise _unreadable(path, error) from None
    if not allow_pickle:
        assert foreign is not None
        raise SpotError(
            f"{path} holds objects of the class {foreign[1] or foreign[2]}, not tensors alone; python -m spot.convert "
            "with allow_pickle=true reads it (WARNING: that runs whatever code the file holds: only if you trust it)"
        )
    log.warning("%s: allow_pickle=true runs whatever code this file holds", path)
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_LenientPickle)
    except Exception as error:
        raise _unreadable(path, error) from None


def write_file(target: str | Path, content: Any) -> None:
    """`torch.save` a file, whole or not at all. Raises SpotError where it cannot be written."""
    with replacing(target, "choose another target") as aside, open(aside, "wb") as file:
        torch.save(content, file)


def state_faults(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps `found` from being a state dict like `own`, in words; empty where nothing does.

    Names of missing, surplus and misshapen tensors are given, the first of each.
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


class _Absent(dict):
    """Stands in for an object of a class that is not installed; takes whatever a pickle puts into it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Drop it."""


class _LenientPickle:
    """What `torch.load` needs of a pickle module, without its insistence that every class is installed."""

    load = staticmethod(pickle.load)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return super().find_class(module, name)
            except (ImportError, AttributeError):
                return type(name, (_Absent,), {"__module__": module})


def _unreadable(path: str | Path, error: Exception) -> SpotError:
    text = str(error).split("\n", 1)[0]
    # the reader's advice to trust the file would mislead here
    reason = "" if isinstance(error, pickle.UnpicklingError) or not text else f" ({text[:160]})"
    return SpotError(f"{path} is no file of tensors, or is damaged{reason}; take another or a fresh copy")
