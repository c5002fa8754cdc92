"""Which settings a test takes from the run that it tests."""

import pytest
from omegaconf import OmegaConf

from spot.architectures.checkpoint import Loaded
from spot.results.result_folder import ResultFolder
from spot.runtime.errors import SpotError
from spot.tracking.loading import recorded_arch, run_label
from spot.tracking.test_setup import check_results_folder
from tests.training.configs import composed


@pytest.fixture
def checkpoint(tmp_path):
    """Of a run whose architecture was changed on the command line of its training."""
    cfg = composed("train", "arch=transt_tiny", "data=synthetic", "arch.network.d_model=32", "arch.tracker.window=0.3")
    file = tmp_path / "run" / "checkpoints" / "last.ckpt"
    file.parent.mkdir(parents=True)
    file.touch()
    OmegaConf.save({"arch": OmegaConf.to_container(cfg, resolve=True)["arch"]}, tmp_path / "run" / "config.yaml")
    return file


@pytest.mark.parametrize(
    ("explicit", "name", "width", "window"),
    [
        ([], "transt_tiny", 32, 0.3),  # nothing need be repeated
        (["arch=transt_tiny"], "transt_tiny", 32, 0.3),  # the same said again changes nothing
        (["arch.tracker.window=0.1"], "transt_tiny", 32, 0.1),
        (["arch=transt_tiny", "++arch.network.d_model=48"], "transt_tiny", 48, 0.3),
        (["arch=transt_small"], "transt_small", 128, 0.49),  # another one: its checkpoint check will tell
    ],
)
def test_a_runs_own_settings_hold_but_for_explicit_ones(checkpoint, explicit, name, width, window):
    cfg = composed("test", "run=run", *explicit)
    arch = recorded_arch(cfg, checkpoint, explicit)
    assert (arch.name, arch.network.d_model, arch.tracker.window) == (name, width, window)


def test_a_backbone_given_explicitly_replaces_the_whole_of_the_recorded_one(checkpoint):
    words = ["arch=transt_tiny", "backbone@arch.network.backbone=mobilenet_v2"]
    arch = recorded_arch(composed("test", "run=run", *words), checkpoint, words)
    assert arch.network.backbone == {
        "_target_": "spot.architectures.backbones.mobilenet.MobileNetV2",
        "weights": "package",
    }
    assert arch.network.d_model == 32


def test_a_lone_file_has_no_record(checkpoint, tmp_path):
    cfg = composed("test", "checkpoint=x")
    assert recorded_arch(cfg, tmp_path / "alone.ckpt").name == "transt"
    (tmp_path / "run" / "config.yaml").unlink()
    assert recorded_arch(cfg, checkpoint).name == "transt"


def test_a_job_of_a_sweep_names_its_results_without_a_slash():
    assert run_label("study/labels-3") == "study_labels-3"


@pytest.fixture
def results(checkpoint, tmp_path):
    """A folder of results, and what writes down whose they are."""
    folder = ResultFolder(tmp_path / "results" / "synthetic" / "tracker", "got10k")
    cfg = composed("test", "run=run", "arch=transt_tiny", "benchmark=synthetic")
    return folder, lambda: check_results_folder(folder, cfg, checkpoint, Loaded("teacher", 1))


def test_a_test_killed_while_it_wrote_its_first_file_continues(results):
    folder, check = results
    folder.folder.mkdir(parents=True)
    (folder.folder / ".tracker.json.0123abcd.partial").write_text('{"arch"')
    check()
    assert [file.name for file in folder.folder.iterdir()] == ["tracker.json"]
    check()  # and again


@pytest.mark.parametrize(
    "note", [None, "", "[1]", '{"arch', "[" * 100_000], ids=["none", "empty", "list", "cut", "deep"]
)
def test_results_without_a_readable_note_are_those_of_others(results, note):
    folder, check = results
    folder.folder.mkdir(parents=True)
    (folder.folder / "video.txt").write_text("1,2,3,4\n")
    if note is not None:
        (folder.folder / "tracker.json").write_text(note)
    with pytest.raises(SpotError, match=r"holds results from elsewhere \(tracker\.json is missing or damaged\)"):
        check()
