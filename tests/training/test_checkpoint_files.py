"""A checkpoint is checked before a run continues from it, and carries what the run needs."""

import pytest
import torch

from spot.runtime.errors import SpotError
from spot.training.callbacks.checkpoints import ResumePoint
from spot.training.checkpoint_files import WholeCheckpoints, read_checkpoint
from spot.training.csv_logger import EpochCSVLogger, read_rows, restore_rows
from spot.training.run import Run


@pytest.fixture
def checkpoint(tmp_path):
    file = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 6, "state_dict": {"w": torch.arange(1000.0)}}, file)
    return file


def test_a_sound_checkpoint_says_how_far_the_run_is(tmp_path, checkpoint):
    assert Run(tmp_path, checkpoint).finished_epochs == 7
    assert torch.equal(read_checkpoint(checkpoint)["state_dict"]["w"], torch.arange(1000.0))


@pytest.mark.parametrize("place", [0.5, 0.99, 0.02], ids=["a weight", "the list of records", "the header"])
def test_one_wrong_byte_is_noticed(tmp_path, checkpoint, place):
    content = bytearray(checkpoint.read_bytes())
    at = content.index(torch.arange(1000.0).numpy().tobytes()) + 2000 if place == 0.5 else int(place * len(content))
    content[at] ^= 0x40
    checkpoint.write_bytes(content)
    with pytest.raises(SpotError, match=r"last\.ckpt: damaged \(.*\); put a kept checkpoint"):
        _ = Run(tmp_path, checkpoint).finished_epochs


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no checkpoint at all"], ids=["empty", "cut", "foreign"])
def test_what_is_no_checkpoint_is_told_in_one_line(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(SpotError, match=r"^\S*last\.ckpt: damaged \([^\n]*$"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_rows_come_back_from_the_checkpoint(tmp_path):
    file = tmp_path / "metrics.csv"
    rows = {1: {"epoch": 1, "step": 3, "loss": 0.1}, 2: {"epoch": 2, "step": 7, "loss": 1 / 3, "extra": 2.0}}
    restore_rows(file, rows)
    whole = file.read_bytes()
    assert read_rows(file)[2] == {"epoch": "2", "step": "7", "loss": repr(1 / 3), "extra": "2.0"}
    for damaged in (b"", whole[: len(whole) // 2], whole + b"3,9,1.0\n", b"\xff\xfe", b"epoch\nx\n"):
        file.write_bytes(damaged)
        restore_rows(file, rows)
        assert file.read_bytes() == whole


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step\nx,1\n")
    with pytest.raises(SpotError, match=r"metrics\.csv: damaged"):
        EpochCSVLogger(tmp_path).log_metrics({"epoch": 1, "loss": 0.5}, 3)


def test_a_run_whose_folder_has_another_path_continues_without_a_warning(tmp_path, recwarn):
    callback = ResumePoint(tmp_path / "here", every=1)
    callback.load_state_dict({"dirpath": str(tmp_path / "there"), "best_model_score": None, "best_model_path": "x"})
    assert not recwarn.list
    assert callback.best_model_path == ""
    assert callback.state_dict() == {}
