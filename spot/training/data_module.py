"""Sets, key frames and sampler state, wired into Lightning."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from spot.data.images import Decode
from spot.data.key_frames import KeyFrames
from spot.data.pairs import AugmentSettings, Batch, CropSettings, LabelledDataset, UnlabelledDataset
from spot.data.steps import EpochSteps, StepPlan, Steps
from spot.data.targets import Targets
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError
from spot.state.store import CommitReport, PseudoLabels, SamplerState, StateStore

log = logging.getLogger(__name__)


class TrackingData(pl.LightningDataModule):
    """Training data of a run, and the sampler state that grows with it.

    Args:
        sets, key_frames: the training sets and the key frames of each.
        plan: composition of a step and of the epoch.
        crops, augment: sizes and random ranges of the crops.
        state_folder: where the sampler state lies; made from the key frames when absent.
        fresh: the run begins anew: a state that is there, left by a start without a checkpoint, goes back to version 0.
        pseudo_labels: False trains on labelled pairs alone (the baselines); no state is kept.
        seed: of every draw.
        workers: loader processes; the data do not depend on it.
        decode: "fast" or "exact", see `spot.data.images.read_frame`.
        distinct: the two key frames of a labelled pair differ.
        step: propagating step r, 0 reviews only.
        relay_template: see `UnlabelledDataset`.
        snapshot_every: epochs between versions of the state that are kept.
        resume_every: epochs between resume points; versions since the last one are kept for it.
        checkpoint_every: epochs between kept checkpoints; the version that belongs to one is kept with it.
        max_broken_fraction: fraction of the drawn frames that may be unreadable before the run stops.
    """

    def __init__(
        self,
        sets: Sequence[VideoSet],
        key_frames: Sequence[KeyFrames],
        plan: StepPlan,
        crops: CropSettings,
        augment: AugmentSettings,
        state_folder: Path,
        fresh: bool = False,
        pseudo_labels: bool = True,
        seed: int = 0,
        workers: int = 0,
        decode: Decode = "fast",
        distinct: bool = False,
        step: int = 1,
        relay_template: bool = True,
        snapshot_every: int = 100,
        resume_every: int = 1,
        checkpoint_every: int = 25,
        max_broken_fraction: float = 0.01,
    ) -> None:
        super().__init__()
        self.prepare_data_per_node = False  # the state lies where all nodes see it
        self.targets = Targets(sets, key_frames, distinct)
        self.plan = plan
        self.state_folder = state_folder
        self.fresh = fresh
        self.pseudo_labels = pseudo_labels
        self.workers = workers
        self.snapshot_every = snapshot_every
        self.resume_every = resume_every
        self.checkpoint_every = checkpoint_every
        self.max_broken_fraction = max_broken_fraction
        self._labelled = LabelledDataset(self.targets, crops, augment, seed, decode, distinct)
        self._unlabelled_arguments: dict[str, Any] = {
            "crops": crops,
            "augment": augment,
            "seed": seed,
            "decode": decode,
            "step": step,
            "relay_template": relay_template,
        }
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
        """Make the sampler state where there is none; a run that begins anew begins at version 0. First process only."""
        if not self.pseudo_labels:
            return
        if not StateStore.exists(self.state_folder):
            StateStore.create(self.state_folder, *self.targets.state_arguments())
        elif self.fresh:
            self.store.rollback(0)

    def train_dataloader(self) -> DataLoader:
        """One loader of whole steps; an item is a `Batch`."""
        assert self.trainer is not None
        unlabelled = (
            UnlabelledDataset(self.targets, self.store, **self._unlabelled_arguments) if self.pseudo_labels else None
        )
        steps = Steps(self.plan, self._labelled, unlabelled, self.trainer.global_rank, self.trainer.world_size)
        # of a resumed run, `current_epoch` is still the one before; loader processes fetch ahead at once
        epoch = self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return DataLoader(
            steps,
            batch_size=None,
            sampler=EpochSteps(self.plan.steps, epoch),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # the loader draws a seed at every epoch; a generator of its own leaves the global one alone
            generator=torch.Generator().manual_seed(0),
            worker_init_fn=_one_thread,
        )

    def count_broken(self, batch: Batch) -> None:
        """Log unreadable frames, and stop the run once they are more than `max_broken_fraction` of the draws.

        Raises:
            SpotError: names one of the files and the fraction.
        """
        self._drawn += batch.instances + len(batch.broken)
        self._broken += len(batch.broken)
        drawn, broken = self._earlier[0] + self._drawn, self._earlier[1] + self._broken
        for complaint in batch.broken[: max(0, 20 - broken + len(batch.broken))]:
            log.warning("skipped: %s", complaint)
        # a few early ones say nothing of the fraction yet
        if broken > 10 and broken > self.max_broken_fraction * drawn:
            raise SpotError(
                f"{broken} of {drawn} drawn instances could not be read, more than "
                f"loader.max_broken_fraction={self.max_broken_fraction}; the last: {batch.broken[-1]}"
            )

    def count_epoch(self) -> int:
        """Add up the epoch's counts over all processes. All of them call this once, at the epoch's end.

        Returns:
            Instances of the whole run that could not be read.
        """
        assert self.trainer is not None
        counts = torch.tensor([self._drawn, self._broken], device=self.trainer.strategy.root_device)
        drawn, broken = self.trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        self._earlier = (self._earlier[0] + drawn, self._earlier[1] + broken)
        self._drawn = self._broken = 0
        return self._earlier[1]

    def commit(self, results: PseudoLabels, epoch: int) -> CommitReport:
        """Merge the results of the epoch that ends; the new version is in force from `epoch` on. First process only."""
        report = self.store.commit(results, epoch)
        if epoch % self.checkpoint_every == 0 or (self.snapshot_every and epoch % self.snapshot_every == 0):
            self.store.snapshot(epoch)
        self.store.prune(keep_from=epoch - self.resume_every - 1)
        return report

    def recorded_quality(self, state: SamplerState) -> tuple[int, float | None]:
        """How many frames are explored, and the mean IoU of those that are not key frames with the annotation."""
        _, iou = self.targets.recorded_labels(state)
        return int(state.explored_counts.sum()), float(iou.mean()) if len(iou) else None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint says of the state that it belongs to, and the counts of instances drawn and not readable."""
        counts = {"drawn": self._earlier[0], "broken": self._earlier[1]}
        if not self.pseudo_labels or self.trainer is None:
            return counts
        state = self.store.at(self.trainer.current_epoch + 1)
        return {"state_version": state.version, "state_digest": state.digest, **counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Return to the state that the checkpoint belongs to. Raises SpotError where it is gone or differs."""
        self._earlier = (state_dict.get("drawn", 0), state_dict.get("broken", 0))
        if not self.pseudo_labels:
            return
        if "state_version" not in state_dict:
            raise SpotError("the checkpoint belongs to a run without a sampler state; choose another run=")
        if self.trainer is None or self.trainer.is_global_zero:
            self.store.rollback(state_dict["state_version"], state_dict["state_digest"])
        if self.trainer is not None:
            self.trainer.strategy.barrier("state rollback")


def _one_thread(_: int) -> None:
    """Workers share the cores among them; threads within one would only fight."""
    torch.set_num_threads(1)
