"""The files of a sampler state's versions: their names, how one is written and checked."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spot.runtime.errors import SpotError
from spot.state.merge import Index, find_gaps
from spot.state.sampler_state import SamplerState
from spot.state.state_files import checksum, write_arrays

_VERSION = re.compile(r"(\d{6,})-(\d{6,})\.state")


def verify(state: SamplerState) -> None:
    """Read every byte of a version and its log. Raise SpotError with the name of a damaged file."""
    state.file.verify()
    if checksum(state.log) != state.log_crc32:
        raise SpotError(f"{state.log_file}: damaged (checksum differs); restore it or roll back")


def version_name(version: int, epoch: int) -> str:
    """Return the file name of a version."""
    return f"{version:06d}-{epoch:06d}.state"


def first_epoch(name: str) -> int:
    """Return the epoch from which the version of this file name is valid."""
    return int(name.split("-")[1].split(".")[0])


def span(entries: dict[int, str]) -> str:
    """Describe which versions there are, from their file names."""
    epochs = [f"{version} from epoch {first_epoch(name)}" for version, name in entries.items()]
    return ", ".join(epochs[:1] + epochs[-1:] if len(epochs) > 1 else epochs) or "none"


def log_header(version: int, records: np.ndarray) -> dict[str, Any]:
    """Return the header fields of a version that starts a log with these records."""
    return {"log": f"records-{version:06d}.log", "log_rows": len(records), "log_crc32": checksum(records)}


def write_version(folder: Path, version: int, epoch: int, header: dict[str, Any], index: Index) -> None:
    """Write the file of a version."""
    gap_bounds, gaps = find_gaps(index)
    arrays = index._asdict() | {"gap_bounds": gap_bounds, "gaps": gaps}
    fields = {"kind": "version", "version": version, "epoch": epoch} | header
    write_arrays(folder / version_name(version, epoch), fields, arrays)


def cut_log(log: Path, size: int) -> None:
    """Cut a log to `size` if possible; if not, the next commit overwrites the rest."""
    with contextlib.suppress(OSError):
        os.truncate(log, size) if size else log.unlink()


def versions_in(folder: Path) -> dict[int, str]:
    """Return the file name of each version, oldest first."""
    found = (_VERSION.fullmatch(name) for name in os.listdir(folder))
    return dict(sorted((int(match[1]), match[0]) for match in found if match))


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn an OSError into a SpotError that names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        raise SpotError(
            f"{folder}: the sampler state could not be written ({error.strerror}); free space, then start again"
        ) from error
