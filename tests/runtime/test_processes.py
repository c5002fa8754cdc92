"""Which process writes, what it writes, and what tells that processes have drifted apart."""

import os
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.plugins.io import TorchCheckpointIO

from spot.runtime.errors import SpotError
from spot.runtime.processes import connection_lost
from spot.runtime.ranks import is_first_process
from spot.training.callbacks.ema import TeacherAverage
from spot.training.checkpoint_files import WholeCheckpoints
from spot.training.module import SparseTracker
from spot.training.run import open_run
from tests.training.test_module import make_tracker

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "WORLD_SIZE")


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        pytest.param({}, True, id="one process"),
        pytest.param({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "16"}, True, id="torchrun, first"),
        pytest.param({"RANK": "8", "LOCAL_RANK": "0", "WORLD_SIZE": "16"}, False, id="torchrun, second node"),
        pytest.param({"RANK": "1"}, True, id="a rank that another program left"),
        pytest.param({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, False, id="started by Lightning"),
        pytest.param(
            {"LOCAL_RANK": "0", "NODE_RANK": "1", "WORLD_SIZE": "4"}, False, id="by Lightning on a second node"
        ),
        pytest.param({"NODE_RANK": "1", "MASTER_ADDR": "a"}, False, id="Lightning on a second node"),
        pytest.param({"SLURM_PROCID": "0"}, True, id="SLURM, first task"),
        pytest.param({"SLURM_PROCID": "3"}, False, id="SLURM, another task"),
    ],
)
def test_one_process_is_the_first(monkeypatch, environment, first):
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


def test_only_the_first_process_refuses_a_run_that_has_just_been_written(tmp_path, monkeypatch):
    """The first one has written it by the time the others look."""
    cfg = OmegaConf.create({"run": "r", "resume": "never", "paths": {"outputs": str(tmp_path)}})
    (tmp_path / "r").mkdir()
    OmegaConf.save(cfg, tmp_path / "r" / "config.yaml")
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SpotError, match="run r exists"):
        open_run(cfg)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert open_run(cfg).folder == tmp_path / "r"


@pytest.mark.parametrize("failing", ["torch.save", "os.fsync"], ids=["disk full while writing", "while flushing"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, failing):
    file = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, file)

    def full(*arguments):
        if failing == "torch.save":
            arguments[1].write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, full)
    with pytest.raises(SpotError, match=r"last.ckpt: the checkpoint could not be written .*No space.*start again"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, file)
    assert os.listdir(file.parent) == ["last.ckpt"]
    assert TorchCheckpointIO().load_checkpoint(file, weights_only=True) == {"epoch": 1}


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error: Connection reset"), True),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), True),
        (RuntimeError("shapes do not match"), False),
        (SpotError("a frame cannot be read"), False),
    ],
)
def test_a_lost_connection_is_told_from_other_errors(error, lost):
    assert connection_lost(error) == lost


@pytest.mark.parametrize(("drift", "found"), [(0.0, False), (1e-3, True)], ids=["equal teachers", "one has drifted"])
def test_the_spread_shows_teachers_that_differ(monkeypatch, drift, found):
    """What the real two-process run asserts to be 0 after each epoch."""
    tracker, logged = make_tracker(), {}
    monkeypatch.setattr(SparseTracker, "all_gather", lambda self, mine: torch.stack([mine, mine + drift]))
    monkeypatch.setattr(SparseTracker, "log", lambda self, name, value, **_: logged.update({name: value}))
    monkeypatch.setattr("spot.training.callbacks.ema.burn_in_of", lambda trainer: 0)
    TeacherAverage(1).on_train_epoch_end(SimpleNamespace(current_epoch=1), tracker)
    assert (logged["teacher_spread"] > 0) == found
