"""Checkpoint files: written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from spot.runtime.errors import SpotError
from spot.state.state_files import sync_folder


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk, then renames.

    Lightning's own way writes to the system's temporary folder, whence a file moves in one piece only where that is on the
    same disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises SpotError where the disk cannot hold the file; the one that was there before is whole."""
        path = Path(path)
        partial = path.with_suffix(".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            sync_folder(path.parent)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
            partial.unlink(missing_ok=True)
            reason = str(error).splitlines()[0]
            raise SpotError(
                f"{path}: the checkpoint could not be written ({reason}); free space, then start again"
            ) from error
