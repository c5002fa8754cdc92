"""spot.check from its configuration to the list of faults."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from spot.check import check
from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.training.checkpoint_files import WholeCheckpoints
from tests.data import layouts
from tests.end_to_end.runs import run
from tests.state.plain import make_store


def checked(tmp_path, *options):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return check(compose("check", [f"paths.outputs={tmp_path / 'outputs'}", "workers=1", *options]))


def test_complete_data_sets(tmp_path, capsys):
    layouts.write_lasot(tmp_path / "lasot")
    root = f"paths.lasot={tmp_path / 'lasot'}"
    assert checked(tmp_path, "data=lasot", "benchmark=lasot", root) == 0
    assert "3 videos, 24 frames, 0 faults" in capsys.readouterr().out


def test_every_fault_is_named(tmp_path, capsys):
    """Annotations and frames, of training and test videos, in one run."""
    layouts.write_lasot(tmp_path / "lasot")
    (tmp_path / "lasot" / "bird" / "bird-2" / "groundtruth.txt").write_text("1,2,3\n")
    (tmp_path / "lasot" / "airplane" / "airplane-10" / "img" / "00000004.jpg").unlink()
    (tmp_path / "lasot" / "airplane" / "airplane-1" / "img" / "00000001.jpg").write_bytes(b"\xff\xd8\xff")
    assert checked(tmp_path, "data=lasot", "benchmark=lasot", f"paths.lasot={tmp_path / 'lasot'}") == 3
    shown = capsys.readouterr().out
    for name in (
        "bird-2/groundtruth.txt: line 1",
        "airplane-10/img/00000004.jpg: missing",
        "airplane-1/img/00000001.jpg",
    ):
        assert name in shown


def test_benchmarks_may_have_more_images_than_frames(tmp_path):
    layouts.write_otb(tmp_path / "otb")
    assert checked(tmp_path, "benchmark=otb100", f"paths.otb={tmp_path / 'otb'}", "quick=true") == 0


def test_nothing_to_check(tmp_path):
    with pytest.raises(SpotError, match=r"give data=lasot, benchmark=otb100"):
        checked(tmp_path)


def test_command_line_exits_with_1_for_faults(tmp_path):
    layouts.write_folder(tmp_path / "mine")
    (tmp_path / "mine" / "a" / "00000002.jpg").write_bytes(b"")
    options = ["data=folder", f"paths.folder={tmp_path / 'mine'}"]
    done = run("check", *options, outputs=tmp_path / "outputs")
    assert done.returncode == 1
    assert "a/00000002.jpg" in done.stdout
    assert "error: 1 fault, named above" in done.stderr


def test_the_files_of_a_run_are_compared_with_their_checksums(tmp_path, capsys):
    folder = tmp_path / "outputs" / "r"
    (folder / "checkpoints").mkdir(parents=True)
    with pytest.raises(SpotError, match="not a run"):
        checked(tmp_path, "run=r")
    (folder / "config.yaml").write_text("labels: 3\n")
    WholeCheckpoints().save_checkpoint({"epoch": 1, "w": torch.arange(1000.0)}, folder / "checkpoints" / "last.ckpt")
    make_store(folder / "sampler_state", [500])
    assert checked(tmp_path, "run=r") == 0
    for damaged in (folder / "checkpoints" / "last.ckpt", folder / "sampler_state" / "records-000000.log"):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
    assert checked(tmp_path, "run=r") == 2
    shown = capsys.readouterr().out
    assert "last.ckpt: damaged (checksum of" in shown
    assert "records-000000.log: damaged (checksum differs)" in shown
