"""Fit, and say in one line what ended it early."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.distributed import DistBackendError

from spot.data.datamodule import TrackingData
from spot.errors import SpotError
from spot.learning.run import Run
from spot.learning.sparse_tracker import SparseTracker


def fit(trainer: pl.Trainer, tracker: SparseTracker, data: TrackingData, run: Run) -> None:
    """Train to the end, from the run's last checkpoint where there is one.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C or by a scheduler's SIGTERM.
        SpotError: a loader process or another rank died. The last finished epoch is safe.
    """
    safe = f"the last finished epoch is safe in {run.checkpoints}; the same command continues"
    try:
        trainer.fit(tracker, data, ckpt_path=run.resume_from, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # Lightning turns both signals into an exit status that says nothing
            raise KeyboardInterrupt from None
        raise
    except RuntimeError as error:
        if "DataLoader worker" in str(error):
            raise SpotError(f"{str(error).splitlines()[0]}; {safe}") from error
        if isinstance(error, DistBackendError) or "Connection closed by peer" in str(error):
            raise SpotError(f"another process of the run died ({str(error).splitlines()[0][:200]}); {safe}") from error
        raise
