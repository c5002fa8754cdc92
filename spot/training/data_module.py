"""The data of a training run: sets, key frames and sampler state, as a Lightning data module."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from spot.data.images import Decode
from spot.data.instances import AugmentSettings, Batch, CropSettings, DrawnFrame
from spot.data.key_frames import KeyFrames
from spot.data.pairs import LabelledDataset, UnlabelledDataset
from spot.data.steps import EpochSteps, StepPlan, Steps
from spot.data.targets import Targets
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError
from spot.state.sampler_state import TargetState
from spot.state.store import StateStore

log = logging.getLogger(__name__)


class TrackingData(pl.LightningDataModule):
    """Training data of a run, and the sampler state that grows with it.

    Args:
        sets: the training sets.
        key_frames: returns the key frames of each set.
        plan: composition of a step and of the epoch.
        crops, augment: sizes and random ranges of the crops.
        state_folder: folder of the sampler state; it is made from the key frames if it does not exist.
        fresh: the run starts from the beginning: an older state without a checkpoint goes back to version 0.
        pseudo_labels: False trains only on labelled pairs (the baselines), without a sampler state.
        seed: seed of every draw.
        workers: number of loader processes; the data do not depend on it.
        decode: "fast" or "exact", see `spot.data.images.read_frame`.
        distinct: the two key frames of a labelled pair differ.
        explore: draws unlabelled instances (`spot.supervision.exploration.Exploration`); None without pseudo labels.
        key_search: see `UnlabelledDataset`.
        max_broken_fraction: fraction of the drawn frames that may be unreadable before the run stops.
    """

    def __init__(
        self,
        sets: Sequence[VideoSet],
        key_frames: Callable[[Sequence[VideoSet]], Sequence[KeyFrames]],
        plan: StepPlan,
        crops: CropSettings,
        augment: AugmentSettings,
        state_folder: str | Path,
        fresh: bool = False,
        pseudo_labels: bool = True,
        seed: int = 0,
        workers: int = 0,
        decode: Decode = "fast",
        distinct: bool = False,
        explore: Callable[[TargetState, np.random.Generator], DrawnFrame] | None = None,
        key_search: bool = False,
        max_broken_fraction: float = 0.01,
    ) -> None:
        super().__init__()
        self.prepare_data_per_node = False  # all nodes see the folder of the state
        self.targets = Targets(sets, key_frames(sets), distinct)
        self.plan = plan
        self.state_folder = Path(state_folder)
        self.fresh = fresh
        self.pseudo_labels = pseudo_labels
        self.workers = workers
        self.max_broken_fraction = max_broken_fraction
        self._labelled = LabelledDataset(self.targets, crops, augment, seed, decode, distinct)
        self._unlabelled = partial(
            UnlabelledDataset,
            crops=crops,
            augment=augment,
            seed=seed,
            decode=decode,
            explore=explore,  # type: ignore[arg-type]  # not None with pseudo labels
            key_search=key_search,
        )
        self._store: StateStore | None = None
        self._drawn = self._broken = 0  # instances of this process in this epoch
        self._earlier = (0, 0)  # the same of all processes in the epochs before

    @property
    def store(self) -> StateStore:
        """The sampler state, opened, or made from the key frames by the first process."""
        if self._store is None:
            self._store = StateStore.open(self.state_folder, StateStore.fingerprint(*self.targets.state_arguments()))
        return self._store

    def prepare_data(self) -> None:
        """Make the sampler state if it does not exist. A new run starts at version 0. First process only."""
        if not self.pseudo_labels:
            return
        if not StateStore.exists(self.state_folder):
            StateStore.create(self.state_folder, *self.targets.state_arguments())
        elif self.fresh:
            self.store.rollback(0)

    def train_dataloader(self) -> DataLoader:
        """Return one loader of whole steps; an item is a `Batch`."""
        assert self.trainer is not None
        unlabelled = self._unlabelled(self.targets, self.store) if self.pseudo_labels else None
        steps = Steps(self.plan, self._labelled, unlabelled, self.trainer.global_rank, self.trainer.world_size)
        # in a resumed run, `current_epoch` is still the previous one, and loader processes prefetch at once
        epoch = self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return DataLoader(
            steps,
            batch_size=None,
            sampler=EpochSteps(self.plan.steps, epoch),
            num_workers=self.workers,
            prefetch_factor=None if self.workers < 4 else 1,  # with many, each need not be two batches ahead
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # the loader draws a seed at every epoch; a generator of its own leaves the global one alone
            generator=torch.Generator().manual_seed(0),
            worker_init_fn=_one_thread,
        )

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Count and log unreadable frames; stop the run at more than `max_broken_fraction` of the draws.

        Raises:
            SpotError: names one of the files and the fraction.
        """
        self._drawn += batch.instances + len(batch.broken)
        self._broken += len(batch.broken)
        drawn, broken = self._earlier[0] + self._drawn, self._earlier[1] + self._broken
        for complaint in batch.broken[: max(0, 20 - broken + len(batch.broken))]:
            log.warning("skipped: %s", complaint)
        # the fraction is not reliable after a few draws
        if broken > 10 and broken > self.max_broken_fraction * drawn:
            raise SpotError(
                f"{broken} of {drawn} drawn instances could not be read, more than "
                f"loader.max_broken_fraction={self.max_broken_fraction}; the last: {batch.broken[-1]}"
            )
        return batch

    def count_epoch(self) -> int:
        """Add up the epoch's counts over all processes. Every process calls this once, at the epoch's end.

        Returns:
            Instances of the whole run that could not be read.
        """
        assert self.trainer is not None
        counts = torch.tensor([self._drawn, self._broken], device=self.trainer.strategy.root_device)
        drawn, broken = self.trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        self._earlier = (self._earlier[0] + drawn, self._earlier[1] + broken)
        self._drawn = self._broken = 0
        return self._earlier[1]

    def state_dict(self) -> dict[str, Any]:
        """Return the counts of instances that were drawn, and of those that could not be read."""
        return {"drawn": self._earlier[0], "broken": self._earlier[1]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts; version 0.1 kept none."""
        self._earlier = (state_dict.get("drawn", 0), state_dict.get("broken", 0))


def data_of(trainer: pl.Trainer) -> TrackingData:
    """Return the trainer's data module."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, TrackingData)
    return data


def burn_in_of(trainer: pl.Trainer) -> int:
    """Return the number of burn-in epochs of the run."""
    return data_of(trainer).plan.burn_in


def _one_thread(_: int) -> None:
    """Set one thread in a loader process: the processes already use all cores."""
    torch.set_num_threads(1)
