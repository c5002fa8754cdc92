"""Sweeps: which jobs there are, what their folders are called, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from omegaconf import OmegaConf

from spot.runtime import sweep_jobs
from spot.runtime.errors import SpotError
from spot.runtime.sweep_jobs import Job, run_options, run_sweep
from spot.runtime.sweeps import (
    LONGEST_NAME,
    Record,
    Sweep,
    begin,
    job_name,
    read_record,
    read_sweep,
    summarise,
    sweep_folder,
    write_record,
)
from tests.end_to_end.runs import complaint, ok, run
from tests.paths import ROOT
from tests.training.configs import composed


def test_long_names_stay_apart_and_short():
    names = {job_name({"paths.lasot": "x" * 150 + end}) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) <= LONGEST_NAME for name in names)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "job"),
        ({"teacher.threshold": "0.8"}, "teacher.threshold-0.8"),
        ({"a/b@c": "x"}, "a_b_c-x"),  # no character that a file system forbids
    ],
)
def test_a_job_is_named_by_its_swept_values(values, name):
    assert job_name(values) == name


def test_a_sweep_has_a_folder_of_its_own(tmp_path):
    assert sweep_folder("train", tmp_path, "group/7", ["labels"]) == tmp_path / "group" / "7"
    assert sweep_folder("train", tmp_path, None, ["labels", "arch"]) == tmp_path / "sweep_arch_labels"
    assert sweep_folder("sample", tmp_path, None, ["labels"]) == tmp_path / "sweeps" / "sample_labels"
    assert run_options("train", "group/7", "labels-2", ["labels=2"])[1:] == (
        "run='group/7/labels-2'",
        "sweep='group/7'",
    )


def test_a_larger_sweep_keeps_the_jobs_that_were_there(tmp_path):
    Sweep(tmp_path, "train", {"labels-2": {"labels": "2"}}).write()
    Sweep(tmp_path, "train", {"labels-3": {"labels": "3"}}).write()
    assert list(read_sweep(tmp_path).jobs) == ["labels-2", "labels-3"]


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"jobs": 3}', "[" * 100_000])
def test_a_missing_or_damaged_plan_is_one_line(tmp_path, text):
    if text is not None:
        (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(SpotError, match=r"not a sweep|damaged"):
        read_sweep(tmp_path)
    (tmp_path / "job.json").write_text(text or "")
    assert read_record(tmp_path).state == "waiting"


@pytest.mark.parametrize("file", sorted((ROOT / "scripts/wandb_sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_agents_of_wandb_are_given_options_that_exist(file):
    settings = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    words = [word for word in settings["command"] if "=" in word]
    for key, choice in settings["parameters"].items():
        words.append(f"{key}={choice['values'][0] if 'values' in choice else choice['min']}")
    assert composed("train", *words).logger.project == "spot"


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (out of memory?)"),
        ("import os; open(os.environ['SPOT_CAUSE_FILE'], 'x').write('labels=0: too few')", None),  # said, but it went well
        ("import os; open(os.environ['SPOT_CAUSE_FILE'], 'x').write('labels=0: too few'); raise SystemExit(1)", "labels=0: too few"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_how_jobs_end_is_noted(tmp_path, monkeypatch, capsys, program, cause, n_jobs):
    sweep = Sweep(tmp_path / "study", "train", {f"labels-{k}": {"labels": str(k)} for k in (2, 3)})
    monkeypatch.setattr(Job, "words", property(lambda _: [sys.executable, "-c", program]))
    jobs = [Job(sweep.folder / name, "train", ("labels=2",)) for name in sweep.jobs]
    assert run_sweep(sweep, jobs, n_jobs) == (2 if cause else 0)
    record = read_record(sweep.folder / "labels-3")
    assert (record.state, record.cause) == ("failed" if cause else "done", cause)
    assert not cause or f"labels-2: {cause}" in capsys.readouterr().err


SLEEPER = """
import sys
from pathlib import Path
from spot.runtime.sweep_jobs import Job, run_sweep
from spot.runtime.sweeps import Sweep
folder, n_jobs = Path(sys.argv[1]), int(sys.argv[2])
program = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
Job.words = property(lambda self: [sys.executable, "-c", program, str(self.folder / "pid")])
sweep = Sweep(folder, "train", {"job": {}})
run_sweep(sweep, [Job(folder / "job", "train", ())], n_jobs)
"""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_terminated_sweep_ends_its_jobs(tmp_path, n_jobs):
    """As a scheduler ends it; a job left behind would keep its GPU."""
    pid = tmp_path / "job" / "pid"
    words = [sys.executable, "-c", SLEEPER, str(tmp_path), str(n_jobs)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not pid.is_file() or not pid.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=900) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_jobs_that_never_began_are_listed(tmp_path, capsys):
    """As where a scheduler loses them."""
    sweep = Sweep(tmp_path, "train", {"labels-2": {}, "labels-3": {}})
    begin(sweep)
    write_record(tmp_path / "labels-2", Record("running"))
    assert summarise(sweep) == 2
    assert "labels-3: still waiting" in capsys.readouterr().err


def test_the_one_line_of_the_first_process_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(sweep_jobs.CAUSE_VARIABLE, str(tmp_path / "cause"))
    sweep_jobs.note_cause("first")
    sweep_jobs.note_cause("second")
    assert (tmp_path / "cause").read_text() == "first"


SAMPLE = ("data=synthetic", "data.videos=2", "data.frames=16", "data.size=[80,64]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("labels=2,3", "--cfg", "job"), "leave out -m"),
        (("labels=2,2",), "the same"),
        (("labels=glob(zz*)",), "no job"),
        (("labels=interval(2,3)",), "scripts/tune.py"),
    ],
)
def test_what_cannot_be_swept_is_one_line(tmp_path, words, said):
    assert said in complaint("sample", "-m", *SAMPLE, *words, outputs=tmp_path)


@pytest.mark.slow
def test_the_jobs_of_a_sweep_name_their_runs_themselves(tmp_path):
    assert "sweep=NAME" in complaint("train", "-m", "run=a", "labels=2,3", outputs=tmp_path)


@pytest.mark.slow
def test_a_sweep_defined_in_a_file_with_a_failing_job(tmp_path):
    """`hydra.sweeper.params` of an experiment, a glob, a name that looks like a number; one job fails."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "sw.yaml").write_text(
        "# @package _global_\ndefaults: [smoke]\nhydra: {sweeper: {params: {labels: '40,2'}}}\n"
    )
    tiny = ("training.epochs=2", "training.burn_in=1", "training.steps=1", "sweep=group/7", "hydra/launcher=parallel")
    done = run("train", f"--config-dir={tmp_path / 'conf'}", "-m", "experiment=sw", *tiny, outputs=tmp_path)
    assert done.returncode == 1
    assert "1 of 2 jobs done" in done.stderr
    assert "labels-40: labels=40" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "group" / "7" / "labels-2" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "group" / "7" / "labels-40" / "config.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["parallel", "slurm_here"])
def test_launchers_that_run_jobs_side_by_side(tmp_path, launcher):
    if launcher == "slurm_here":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    done = ok("sample", "-m", *SAMPLE, "labels=2,3", f"hydra/launcher={launcher}", outputs=tmp_path)
    assert "2 of 2 jobs done" in done.stderr
    folder = tmp_path / "sweeps" / "sample_labels"
    assert json.loads((folder / "labels-2" / "job.json").read_text())["state"] == "done"
