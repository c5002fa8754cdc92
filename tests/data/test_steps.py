"""Steps: their composition, and the share of each process."""

import resource

import numpy as np
import pytest
from torch.utils.data import DataLoader

from spot.data.instances import AugmentSettings, CropSettings
from spot.data.key_frame_sampling import sample_key_frames
from spot.data.pairs import LabelledDataset, UnlabelledDataset
from spot.data.steps import EpochSteps, StepPlan, Steps
from spot.data.targets import Targets
from spot.runtime.errors import SpotError
from spot.state.store import StateStore
from spot.supervision.exploration import Exploration

PLAN = StepPlan(steps=5, burn_in=2, labelled=2, unlabelled=6)


@pytest.fixture
def make(videos, tmp_path):
    targets = Targets([videos], [sample_key_frames(videos, 3, seed=0)])
    store = StateStore.create(tmp_path / "state", *targets.state_arguments())
    crops = CropSettings(64, 128, 2.0, 4.0, 3.0, 0.25)
    labelled = LabelledDataset(targets, crops, AugmentSettings(), seed=0)
    unlabelled = UnlabelledDataset(targets, store, crops, AugmentSettings(), seed=0, explore=Exploration())
    return lambda rank=0, world=1: Steps(PLAN, labelled, unlabelled, rank, world)


def test_burn_in_takes_labelled_pairs_for_all(make):
    batch = make()[1, 0]
    assert len(batch.labelled.box) == 8
    assert batch.unlabelled is None


def test_sparse_stage_mixes_both(make):
    batch = make()[2, 0]
    assert len(batch.labelled.box) == 2
    assert len(batch.unlabelled.target_index) == 6
    assert batch.unlabelled.number.tolist() == [0, 1, 2, 3, 4, 5]
    assert make()[2, 3].unlabelled.number.tolist() == [18, 19, 20, 21, 22, 23]


@pytest.mark.parametrize("epoch", [0, 2], ids=["burn-in", "sparse stage"])
def test_two_processes_share_what_one_makes(make, epoch):
    whole = make()[epoch, 4]
    parts = [make(rank, 2)[epoch, 4] for rank in (0, 1)]
    for kind in ("labelled", "unlabelled"):
        if getattr(whole, kind) is None:
            continue
        for name, values in getattr(whole, kind)._asdict().items():
            if values is None:  # made for some label filters only
                continue
            shares = [getattr(getattr(part, kind), name).numpy() for part in parts]
            together = np.empty_like(getattr(getattr(whole, kind), name).numpy())
            together[0::2], together[1::2] = shares
            assert np.array_equal(together, getattr(getattr(whole, kind), name).numpy())


def test_a_batch_that_cannot_be_shared_is_refused(make):
    with pytest.raises(SpotError, match=r"training\.labelled=2 cannot be shared by 4 processes"):
        make(0, 4)


def test_the_sampler_names_the_epoch():
    sampler = EpochSteps(3)
    sampler.set_epoch(7)
    assert list(sampler) == [(7, 0), (7, 1), (7, 2)]
    assert len(sampler) == 3


def test_full_shared_memory_ends_the_run_in_one_line(make):
    """A limit on file size in the loader process stands for a full /dev/shm: the system refuses the memory."""

    def limit(_: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    loader = DataLoader(make(), batch_size=None, sampler=EpochSteps(2), num_workers=1, timeout=60, worker_init_fn=limit)
    with pytest.raises(SpotError, match=r"/dev/shm cannot hold another batch \(.*too large.*--shm-size=1g"):
        list(loader)


@pytest.mark.parametrize("epoch", [0, 2], ids=["burn-in", "sparse stage"])
def test_a_loader_process_hands_over_the_same_batch(make, epoch):
    (there,) = DataLoader(make(), batch_size=None, sampler=[(epoch, 4)], num_workers=1)
    here = make()[epoch, 4]
    for kind in ("labelled", "unlabelled"):
        for a, b in zip(getattr(there, kind) or (), getattr(here, kind) or (), strict=True):
            assert (a is None and b is None) or (np.array_equal(a, b) and a.is_shared())
