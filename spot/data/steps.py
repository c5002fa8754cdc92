"""Training steps: the number of instances of each kind in a step, and the instances that each process makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.utils.data import Dataset, Sampler, get_worker_info

from spot.data.instances import Arrays, Batch, LabelledPairs, UnlabelledInstances, collate
from spot.data.pairs import LabelledDataset, UnlabelledDataset
from spot.runtime.errors import SpotError


@dataclass(frozen=True)
class StepPlan:
    """The composition of a training step over all processes.

    steps: per epoch. burn_in: epochs with labelled pairs alone, `labelled + unlabelled` of them a step.
    labelled, unlabelled: instances of a step of the sparse stage (docs/method.md section 4), all processes together.
    """

    steps: int
    burn_in: int
    labelled: int
    unlabelled: int

    def sizes(self, epoch: int) -> tuple[int, int]:
        """Labelled pairs and unlabelled instances of a step."""
        if epoch < self.burn_in:
            return self.labelled + self.unlabelled, 0
        return self.labelled, self.unlabelled


class Steps(Dataset):
    """Item (epoch, step) is the batch of that step that belongs to process `rank` of `world`.

    Instances are numbered over the whole epoch, so that any number of processes makes the same instances.
    """

    def __init__(
        self, plan: StepPlan, labelled: LabelledDataset, unlabelled: UnlabelledDataset | None, rank: int, world: int
    ) -> None:
        for key, size in (("labelled", plan.labelled), ("unlabelled", plan.unlabelled)):
            if size % world:
                raise SpotError(f"training.{key}={size} cannot be shared by {world} processes; choose a multiple")
        self.plan = plan
        self.labelled = labelled
        self.unlabelled = unlabelled
        self.rank = rank
        self.world = world

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, step = key
        labelled, unlabelled = self.plan.sizes(epoch)
        broken: list[str] = []

        def mine(dataset: LabelledDataset | UnlabelledDataset, size: int) -> list[Arrays]:
            made = [dataset[epoch, index] for index in range(step * size + self.rank, (step + 1) * size, self.world)]
            broken.extend(complaint for _, complaints in made for complaint in complaints)
            return [item for item, _ in made]

        pairs = collate(LabelledPairs, mine(self.labelled, labelled))
        if unlabelled == 0 or self.unlabelled is None:
            batch = Batch(pairs, None, broken)
        else:
            batch = Batch(pairs, collate(UnlabelledInstances, mine(self.unlabelled, unlabelled)), broken)
        if get_worker_info() is not None:
            _share(batch)
        return batch


def _share(batch: Batch) -> None:
    """Move a batch to shared memory, where the main process reads it.

    The queue between the processes would do this in a separate thread. If /dev/shm is full, that thread prints an error
    and the run hangs. Here the error reaches the run.

    Raises:
        SpotError: shared memory is full.
    """
    try:
        for tensor in (*batch.labelled, *(batch.unlabelled or ())):
            if tensor is not None:  # optional crops
                tensor.share_memory_()
    except RuntimeError as error:
        reason = str(error).splitlines()[0].rpartition(": ")[2]
        raise SpotError(
            f"/dev/shm cannot hold another batch ({reason}); start the container with --shm-size=1g, "
            "or give a smaller loader.workers=, 0 needs none; the same command continues"
        ) from None


class EpochSteps(Sampler[tuple[int, int]]):
    """Yields (epoch, step) in order; Lightning tells it the epoch."""

    def __init__(self, steps: int, epoch: int = 0) -> None:
        self.steps = steps
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at every epoch's start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, step) for step in range(self.steps))
