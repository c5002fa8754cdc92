"""The training command as users run it: to the end, interrupted, with workers, with two processes, with mistakes."""

import csv
import os
import shutil
import signal
import socket

import pytest
import torch

from spot.runtime.errors import SpotError
from spot.runtime.locks import locked
from spot.state.store import StateStore
from spot.training.run import Run
from tests.end_to_end.runs import LONG, SMOKE, TIMEOUT, assert_same_run, complaint, ok, run, start, wait_for, weights


def test_smoke_leaves_both_networks_metrics_and_state(outputs):
    folder = outputs / "smoke"
    kept = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert kept == ["epoch_0001.ckpt", "epoch_0002.ckpt", "epoch_0003.ckpt", "last.ckpt"]
    names = weights(folder)
    assert any(k.startswith("student.") for k in names)
    assert any(k.startswith("teacher.") for k in names)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    explored = [float(row["explored_fraction"]) for row in rows]
    assert explored[0] < explored[1] < explored[2]
    assert 0 <= float(rows[2]["pseudo_label_iou"]) <= 1


def test_the_same_command_again_says_that_all_is_done_and_mends_what_a_kill_left(outputs, elsewhere):
    """As a kill right after the last checkpoint leaves it: no last row, no plot, a file half written."""
    copied = shutil.copytree(outputs / "smoke", elsewhere / "smoke")
    rows = (copied / "metrics.csv").read_text().splitlines(keepends=True)
    (copied / "metrics.csv").write_text("".join(rows[:-1]))
    (copied / "exploration.png").unlink()
    (copied / "checkpoints" / ".last.ckpt.0123abcd.partial").write_bytes(b"half")
    done = ok("train", *SMOKE, outputs=elsewhere)
    assert "is done: 3 epochs" in done.stdout
    assert (copied / "metrics.csv").read_bytes() == (outputs / "smoke" / "metrics.csv").read_bytes()
    assert (copied / "exploration.png").is_file()
    assert_same_run(outputs / "smoke", copied)


def test_a_run_that_lost_its_resume_point_begins_anew(outputs, elsewhere):
    """As a kill between the first commits to the state and the first last.ckpt leaves it."""
    copied = shutil.copytree(outputs / "smoke", elsewhere / "smoke")
    shutil.rmtree(copied / "checkpoints")
    assert "run smoke: starts" in ok("train", *SMOKE, outputs=elsewhere).stdout
    assert_same_run(outputs / "smoke", copied)


def test_workers_do_not_change_the_run(outputs, elsewhere):
    ok("train", *SMOKE, "loader.workers=2", outputs=elsewhere)
    assert_same_run(outputs / "smoke", elsewhere / "smoke")


def test_killed_and_continued_is_the_same_run(outputs, elsewhere):
    """Killed at the end of burn-in, by the command that users type; `test_stress` kills anywhere."""
    process = start("train", *SMOKE, outputs=elsewhere, said=elsewhere / "said")
    wait_for(elsewhere / "smoke" / "checkpoints" / "last.ckpt", process)
    process.send_signal(signal.SIGKILL)
    process.wait(TIMEOUT)
    assert "continues after epoch" in ok("train", *SMOKE, outputs=elsewhere).stdout
    assert_same_run(outputs / "smoke", elsewhere / "smoke")


@pytest.mark.parametrize("workers", [0, 1], ids=["no loader process", "a loader process, which fetches ahead"])
def test_a_state_ahead_of_its_checkpoint_is_rolled_back(outputs, elsewhere, workers):
    """As a kill between the commit of an epoch and its checkpoint leaves it."""
    shutil.copytree(outputs / "smoke", elsewhere / "smoke")
    checkpoints = elsewhere / "smoke" / "checkpoints"
    shutil.copy(checkpoints / "epoch_0002.ckpt", checkpoints / "last.ckpt")
    ok("train", *SMOKE, f"loader.workers={workers}", outputs=elsewhere)
    assert_same_run(outputs / "smoke", elsewhere / "smoke")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM of a scheduler"])
def test_interrupted_ends_with_the_last_epoch_safe(elsewhere, number):
    process = start("train", *SMOKE, *LONG, outputs=elsewhere, said=elsewhere / "said")
    last = elsewhere / "smoke" / "checkpoints" / "last.ckpt"
    wait_for(last, process)
    process.send_signal(number)
    status, text = process.wait(TIMEOUT), (elsewhere / "said").read_text()
    assert status == 130, text
    assert "stopped; the same command continues" in text
    assert "Traceback" not in text, text
    assert Run(elsewhere / "smoke", last).finished_epochs >= 1
    StateStore.open(elsewhere / "smoke" / "sampler_state").verify()


def test_baselines_by_configuration_alone(elsewhere):
    for supervision in ("key_frames_only", "full"):
        short = ("training.epochs=1", "training.steps=1")
        ok("train", *SMOKE, f"run={supervision}", f"supervision={supervision}", *short, outputs=elsewhere)
        names = weights(elsewhere / supervision)
        assert not any(k.startswith("teacher.") for k in names)
        assert not (elsewhere / supervision / "sampler_state").exists()


def test_another_configuration_under_the_same_name_is_refused(outputs):
    line = complaint("train", *SMOKE, "labels=2", outputs=outputs)
    assert "labels=3 then, 2 now" in line
    assert "resume=anyway" in line
    assert "exists" in complaint("train", *SMOKE, "resume=never", outputs=outputs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("arch=transt", "data=lasot"), "set LASOT_ROOT (data=synthetic and `make demo` need none)"),  # no path set
        (("experiment=smoke", "labls=3"), "labels"),  # a typo is answered with the nearest option
        (("experiment=smoke", "arch=trnst"), "transt"),  # and so is an unknown choice
        (("experiment=smoke", "labels=0"), "labels=0"),  # nothing to learn from
    ],
)
def test_mistakes_are_told_in_one_line_before_any_work(elsewhere, options, said):
    assert said in complaint("train", *options, outputs=elsewhere)
    assert not (elsewhere / "smoke").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("labels=40",), "labels=40"),  # more labels than frames
        (("training.burn_in=3",), "no epoch"),  # all burn-in: the method would never begin
        (("supervision.key_frames=some",), "supervision.key_frames=some"),
    ],
)
def test_unusable_settings_are_refused(elsewhere, options, said):
    from hydra import compose, initialize_config_dir

    from spot.runtime.composing import config_folder
    from spot.train import train

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("train", [*SMOKE, f"paths.outputs={elsewhere}", "paths.lasot=null", *options])
    with pytest.raises(SpotError, match=said):
        train(cfg)
    assert not (elsewhere / "smoke").exists()


def test_too_many_unreadable_frames_stop_the_run(outputs, tmp_path):
    shutil.copytree(outputs / "synthetic", tmp_path / "synthetic")
    frames = sorted((tmp_path / "synthetic").rglob("*.jpg"))
    for frame in frames[::2]:
        frame.write_bytes(frame.read_bytes()[:200])
    line = complaint("train", *SMOKE, "training.steps=20", outputs=tmp_path)
    assert ".jpg" in line
    assert "max_broken_fraction" in line


def test_a_few_unreadable_frames_are_skipped_and_counted(outputs, tmp_path):
    shutil.copytree(outputs / "synthetic", tmp_path / "synthetic")
    for frame in sorted((tmp_path / "synthetic").glob("train_*/**/00000003.jpg"))[:2]:
        frame.write_bytes(b"no image")
    done = run(
        "train", *SMOKE, "loader.max_broken_fraction=0.5", "training.epochs=2", "training.steps=6", outputs=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "skipped: " in done.stdout + done.stderr
    with (tmp_path / "smoke" / "metrics.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["broken_frames"]) > 0


def test_weights_differ_between_seeds(outputs, elsewhere):
    """So that the equalities above can fail."""
    ok("train", *SMOKE, "seed=1", "training.epochs=2", outputs=elsewhere)
    first, second = (weights(folder / "smoke", "epoch_0001.ckpt") for folder in (outputs, elsewhere))
    assert any(not torch.equal(first[k], second[k]) for k in first if k.startswith("student."))


def test_a_second_process_on_the_same_run_or_results_is_refused(outputs):
    """It names the first one, and touches nothing."""
    with locked(outputs / "smoke", "run smoke"):
        line = complaint("train", *SMOKE, outputs=outputs)
    assert f"run smoke is in use by process {os.getpid()} on {socket.gethostname()}" in line
