"""Sweeps as users run them: train and test, evaluate over the jobs, two processes a job, search."""

import csv
import re

import pytest
from omegaconf import OmegaConf

from tests.end_to_end.runs import ok, run, run_words
from tests.training.wandb_files import Logged

TINY = ("experiment=smoke", "training.epochs=2", "training.steps=1", "training.labelled=2", "training.unlabelled=2")
SMALL = ("benchmark.videos.videos=2", "benchmark.videos.frames=16", "benchmark.videos.size=[160,120]")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.mark.slow
def test_a_sweep_of_the_whole_job_and_its_table(outputs):
    pytest.importorskip("wandb")
    job = (
        *TINY,
        *SMALL,
        "testing.accelerator=cpu",
        "testing.devices=1",
        "testing.backend=torch",
        "start_epoch=2",
        "sweep=study",
    )
    swept = ("labels=40,2", "logger=wandb", "logger.mode=offline")
    done = run("onekey", "-m", *job, *swept, outputs=outputs)
    assert done.returncode == 1
    assert "labels-40: labels=40" in done.stderr
    assert "1 of 2 jobs are not finished" in done.stderr
    told = Logged(outputs / "study" / "labels-2")  # training, then its evaluation, as one run
    assert told.run.run_group == "study"
    assert told.exit_codes == [0, 0]
    assert re.search(r"^dashboard: \S+metrics\.csv, wandb sync \S+offline-run-\S+$", done.stdout, re.MULTILINE)
    assert 0 <= told.history["evaluation/Synthetic/success"][0] <= 1
    assert any(name.startswith("evaluation/Synthetic/table") for name in told.history)

    done = ok("evaluate", "sweep=study", *SMALL, outputs=outputs)
    assert "1 of 2 jobs have no results" in done.stdout
    with (outputs / "reports" / "Synthetic" / "study" / "sweep.csv").open() as file:
        rows = {row["job"]: row for row in csv.DictReader(file)}
    assert float(rows["labels-2"]["success"]) == pytest.approx(told.history["evaluation/Synthetic/success"][0])
    assert rows["labels-2"]["tracker"] == "study_labels-2_teacher_e002"
    assert rows["labels-40"]["success"] == ""


@pytest.mark.slow
def test_a_sweep_with_two_processes_a_job_stays_in_its_folders(outputs):
    """A second process that ran the sweep again would train in another folder, or twice."""
    before = {entry.name for entry in outputs.iterdir()}
    command = ("-m", *TINY, "sweep=pair", "trainer=ddp", "trainer.accelerator=cpu")
    assert "1 of 1 jobs done" in ok("train", *command, outputs=outputs).stderr
    assert {entry.name for entry in outputs.iterdir()} - before <= {"pair", "labels", "synthetic", "cache"}
    assert [entry.name for entry in (outputs / "pair").iterdir() if entry.is_dir()] == ["job"]
    with (outputs / "pair" / "job" / "metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2]


@pytest.mark.slow
def test_a_search_takes_up_what_was_interrupted(outputs):
    optuna = pytest.importorskip("optuna")
    folder = outputs / "search"
    folder.mkdir()
    place = {"storage": f"sqlite:///{folder / 'study.db'}", "study_name": "search"}
    study = optuna.create_study(**place, direction="maximize")
    trial = study.ask()  # as a search that was killed leaves it
    threshold = trial.suggest_float("teacher.threshold", 0.6, 0.95)
    trial.suggest_float("teacher.window", 0.0, 0.8)
    decay = 1 - trial.suggest_float("1 - teacher.decay", 1 - 0.9999, 1 - 0.95, log=True)

    def search():
        # labels=3 of 16 frames and a threshold that nothing passes would leave no IoU to judge by
        words = [*TINY, "--objective", "explored_fraction", "--trials", "1", "--outputs", str(outputs)]
        done = run_words(["scripts/tune.py", *words], outputs)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "best of 1 trials" in search()
    assert [entry.name for entry in folder.glob("trial_*")] == ["trial_000"]
    cfg = OmegaConf.load(folder / "trial_000" / "config.yaml")
    assert (cfg.teacher.threshold, cfg.teacher.decay) == pytest.approx((threshold, decay), rel=1e-4)
    assert f"teacher.threshold={threshold:.4g}" in search()  # nothing left to do
    assert [trial.state.name for trial in optuna.load_study(**place).get_trials()] == ["FAIL", "COMPLETE"]
