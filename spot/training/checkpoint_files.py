"""Checkpoint files: written whole or not at all, and checked before a run continues from them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from spot.runtime.atomic_files import whole_file
from spot.runtime.errors import SpotError


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk, then renames.

    Lightning itself writes to the system's temporary folder first; a file moves in one piece only within one disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises SpotError if the disk cannot hold the file; the one that was there before is whole."""
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
    """Read a run's checkpoint by memory map, after comparing all its bytes with the checksums that it carries.

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
