"""Checkpoint files: written atomically, and checked before a run continues from them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from spot.runtime.atomic_files import whole_file
from spot.runtime.errors import SpotError


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a file beside the target, flushes it to the disk, then renames it.

    Lightning writes to the system's temporary folder, from where a file on another disk cannot be moved atomically.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint. Raise SpotError if the disk is full; an older file is unchanged."""
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial, partial.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk by a RuntimeError
            reason = str(error).splitlines()[0]
            raise SpotError(
                f"{path}: the checkpoint could not be written ({reason}); free space, then start again"
            ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Check all bytes of a run's checkpoint against its checksums, then read it by memory map.

    Raises:
        SpotError: it is absent or damaged.
    """
    try:
        with zipfile.ZipFile(path) as records:  # torch writes a CRC-32 of each record and does not check it
            damaged = records.testzip()
        if damaged is None:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        reason = f"checksum of {damaged.rpartition('/')[2]} differs"
    except Exception as error:  # zipfile and pickle raise almost anything on damaged bytes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise SpotError(
        f"{path}: damaged ({reason}); put a kept checkpoint of the run in its place, or choose another run="
    )
