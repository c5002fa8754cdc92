"""The whole job by one command, and the same on a folder of one's own videos."""

import json
import shutil

import pytest

from spot.data.datasets import synthetic
from spot.runtime.run_record import read_record
from tests.end_to_end.runs import complaint, ok

SMALL = ("benchmark.videos.videos=2", "benchmark.videos.frames=16", "benchmark.videos.size=[160,120]")
CPU = ("testing.accelerator=cpu", "testing.devices=1", "testing.backend=torch")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("onekey")


LATE_AND_BADLY = """
import atexit, os, time

@atexit.register
def end():
    if os.environ.get("LOCAL_RANK") == "1":
        time.sleep(1)
        os.abort()
"""


def test_train_with_two_processes_test_with_one_then_two_evaluate(outputs, tmp_path):
    """Each process does its own part: nothing is trained, tracked or reported twice.

    Gloo's threads can abort a process that shuts down: when all is done, that must not touch the next stage.
    """
    job = ("experiment=smoke", "run=smoke", "start_epoch=2", *SMALL)
    first = ok("onekey", *job, *CPU, "trainer=ddp", "trainer.accelerator=cpu", outputs=outputs)
    assert first.stdout.count("run smoke: starts") == 1
    assert read_record(outputs / "smoke").processes == 2
    assert first.stdout.count("tracked 2 videos") == 2  # once for each epoch
    assert first.stdout.count("report.html") == 1
    summary = json.loads((outputs / "reports" / "Synthetic" / "summary.json").read_text())
    assert set(summary) == {"smoke_teacher_e002", "smoke_teacher_e003"}
    assert all(0 <= tracker["success"] <= 1 for tracker in summary.values())
    assert (outputs / "reports" / "Synthetic" / "report.html").is_file()

    (tmp_path / "sitecustomize.py").write_text(LATE_AND_BADLY)
    two = ("testing.accelerator=cpu", "testing.devices=2", "testing.backend=torch")
    again = ok("onekey", *job, *two, outputs=outputs, PYTHONPATH=str(tmp_path))
    assert again.stdout.count("is done: 3 epochs") == 1
    assert again.stdout.count("2 of 2 videos finished before") == 2
    assert again.stdout.count("report.html") == 1


def test_an_unknown_stage_is_told(outputs):
    assert "stages=" in complaint("onekey", "experiment=smoke", "stages=[trian]", outputs=outputs)


def test_a_folder_of_ones_own_videos(outputs, tmp_path):
    rendered = synthetic.load(outputs / "synthetic", "train", videos=6, frames=16, size=(160, 120))
    mine = tmp_path / "mine"
    for video in rendered:
        shutil.copytree(
            video.frames.folder, mine / ("train" if video.name < rendered.names[4] else "test") / video.name
        )
    data = ("data=folder", f"paths.folder={mine}", "data.split=train")
    ok("sample", *data, "labels=2", outputs=tmp_path)
    ok(
        "onekey", *data, "arch=transt_tiny", "trainer=cpu", "labels=2", "run=mine", "loader.workers=0",
        "training.epochs=2", "training.burn_in=1", "training.steps=2", "training.labelled=1", "training.unlabelled=2",
        "teacher.threshold=0", "checkpoint.every=1", "start_epoch=2",
        "benchmark=folder", "benchmark.name=held_out", "benchmark.videos.split=test", *CPU,
        outputs=tmp_path,
    )  # fmt: skip
    summary = json.loads((tmp_path / "reports" / "held_out" / "summary.json").read_text())
    assert set(summary) == {"mine_teacher_e002"}


def test_a_run_without_results_is_told_before_anything_is_written(outputs, tmp_path):
    """Results of `nothing_else` are not those of `nothing`."""
    (tmp_path / "results" / "Synthetic" / "nothing_else_e003").mkdir(parents=True)
    line = complaint("onekey", "experiment=smoke", "run=nothing", "stages=[evaluate]", outputs=tmp_path)
    assert "has no results of run nothing" in line
