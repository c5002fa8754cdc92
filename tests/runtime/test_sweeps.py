"""Sweeps: which jobs there are, what their folders are called, and what becomes of them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from omegaconf import OmegaConf

from spot.runtime import sweeps as multirun
from spot.runtime.command import config_folder
from spot.runtime.errors import SpotError
from spot.runtime.sweeps import Record, Sweep, plan, read_record, read_sweep, run_job, summarise
from tests.end_to_end.runs import complaint, ok, run
from tests.paths import ROOT
from tests.training.configs import composed


def jobs(*words, config="train"):
    return plan(config, words, config_folder())


def test_a_job_is_named_by_its_swept_values_in_whatever_order():
    first = jobs("experiment=smoke", "labels=2,3", "arch=transt_tiny,ocean_tiny")
    second = jobs("arch=transt_tiny,ocean_tiny", "labels=2,3", "experiment=smoke")
    assert set(first.jobs) == set(second.jobs)
    assert first.folder == second.folder
    assert first.folder.name == "sweep_arch_labels"
    assert first.jobs["arch-ocean_tiny_labels-3"] == {"labels": "3", "arch": "ocean_tiny"}
    assert len(first.jobs) == 4


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("labels=2", "seed=1"), {"job"}),  # -m without several values: one job
        (("seed=range(2)",), {"seed-0", "seed-1"}),
        (("arch=glob(*_tiny)",), {"arch-ocean_tiny", "arch-transt_tiny"}),
        (("teacher.threshold=choice(0.8,0.85)",), {"teacher.threshold-0.8", "teacher.threshold-0.85"}),
        (("+a/b@c=x,y",), {"a_b_c-x", "a_b_c-y"}),  # nothing that a file system would mind
    ],
)
def test_all_ways_to_give_several_values(words, names):
    assert set(jobs(*words).jobs) == names


def test_the_name_of_a_sweep_can_be_chosen(tmp_path):
    sweep = jobs("sweep=study", f"paths.outputs={tmp_path}", "labels=2,3")
    assert sweep.folder == tmp_path / "study"
    assert jobs("benchmark=otb100,nfs30", config="evaluate").folder.parts[-2:] == ("sweeps", "evaluate_benchmark")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run=a", "labels=2,3"), "sweep=NAME"),  # all jobs would share a folder
        (("teacher.window=interval(0,1)",), "scripts/tune.py"),
        (("labels=2,2",), "the same"),
    ],
)
def test_what_cannot_be_swept_is_told(words, said):
    with pytest.raises(SpotError, match=said):
        jobs(*words)


def test_long_names_stay_apart_and_short():
    values = ["x" * 150 + end for end in "ab"]
    names = list(jobs(f"paths.lasot={','.join(values)}").jobs)
    assert len(set(names)) == 2
    assert all(len(name) <= multirun.LONGEST_NAME for name in names)


def test_a_larger_sweep_keeps_the_jobs_that_were_there(tmp_path):
    Sweep(tmp_path, "train", {"labels-2": {"labels": "2"}}).write()
    Sweep(tmp_path, "train", {"labels-3": {"labels": "3"}}).write()
    assert list(read_sweep(tmp_path).jobs) == ["labels-2", "labels-3"]
    with pytest.raises(SpotError, match="no sweep"):
        read_sweep(tmp_path / "nothing")


@pytest.mark.parametrize("file", sorted((config_folder() / "wandb_sweep").glob("*.yaml")), ids=lambda file: file.stem)
def test_agents_of_wandb_are_given_options_that_exist(file):
    settings = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    words = [word for word in settings["command"] if "=" in word]
    for key, choice in settings["parameters"].items():
        words.append(f"{key}={choice['values'][0] if 'values' in choice else choice['min']}")
    assert composed("train", *words).logger.project == "spot"


SAMPLE = ("data=synthetic", "data.videos=2", "data.frames=16", "data.size=[80,64]")


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (out of memory?)"),
        ("import os; open(os.environ['SPOT_CAUSE_FILE'], 'x').write('labels=0: too few')", None),  # told, but it went well
        ("import os; open(os.environ['SPOT_CAUSE_FILE'], 'x').write('labels=0: too few'); raise SystemExit(1)", "labels=0: too few"),
    ],
)  # fmt: skip
def test_how_a_job_ends_is_noted(tmp_path, monkeypatch, capsys, program, cause):
    sweep = Sweep(tmp_path / "study", "train", {"labels-2": {"labels": "2"}})
    multirun.begin(sweep)
    launch = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: launch([sys.executable, "-c", program], **options))
    record = run_job(sweep.folder, "train", ["labels=2", "seed=1"], ["labels"], apart=True)
    assert record == read_record(sweep.folder / "labels-2")
    assert (record.state, record.cause) == ("failed" if cause else "done", cause)
    assert "labels=2 seed=1 run='study/labels-2' sweep=study" in record.command
    assert summarise(sweep) == (1 if cause else 0)
    if cause:
        assert f"labels-2: {cause}" in capsys.readouterr().err


SLEEPER = """
import subprocess, sys, threading
from pathlib import Path
from spot.runtime import sweeps as multirun
folder = Path(sys.argv[1])
sweep = multirun.Sweep(folder, "train", {"job": {}})
multirun.begin(sweep)
launch = subprocess.Popen
def sleep(_, **options):
    process = launch([sys.executable, "-c", "import time; time.sleep(600)"], **options)
    (folder / "pid").write_text(str(process.pid))
    return process
subprocess.Popen = sleep
with multirun.terminable():
    multirun.run_job(folder, "train", [], [], apart=False)
"""


def test_a_terminated_sweep_takes_its_job_along(tmp_path):
    """As a scheduler ends it; a job left behind would keep its GPU."""
    folder = tmp_path / "sweep"
    process = subprocess.Popen([sys.executable, "-c", SLEEPER, str(folder)], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (folder / "pid").is_file() or not (folder / "pid").read_text():
        assert process.poll() is None
        time.sleep(0.05)
    job = int((folder / "pid").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(job, 0)


def test_jobs_that_never_began_are_told(tmp_path, capsys):
    """As where a scheduler loses them."""
    sweep = Sweep(tmp_path, "train", {"labels-2": {}, "labels-3": {}})
    multirun.begin(sweep)
    multirun._note(tmp_path / "labels-2", Record("running"))
    assert summarise(sweep) == 2
    assert "labels-3: still waiting" in capsys.readouterr().err


def test_showing_the_configuration_of_many_jobs_is_refused(tmp_path):
    """Hydra itself would end in a traceback."""
    assert "leave out -m" in complaint("train", "-m", "labels=2,3", "--cfg", "job", outputs=tmp_path)


@pytest.mark.slow
def test_a_failed_job_leaves_the_others_alone(tmp_path):
    done = run("sample", "-m", *SAMPLE, "labels=40,2,3", outputs=tmp_path)
    assert done.returncode == 1
    assert "2 of 3 jobs done" in done.stderr
    assert "labels-40: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "labels").glob("*.json"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["parallel", "slurm_here"])
def test_launchers_that_run_jobs_side_by_side(tmp_path, launcher):
    pytest.importorskip(
        "hydra_plugins." + ("hydra_joblib_launcher" if launcher == "parallel" else "hydra_submitit_launcher")
    )
    done = ok("sample", "-m", *SAMPLE, "labels=2,3", f"hydra/launcher={launcher}", outputs=tmp_path)
    assert "2 of 2 jobs done" in done.stderr
    folder = tmp_path / "sweeps" / "sample_labels"
    assert all("wrote " in (folder / f"labels-{k}" / "log.txt").read_text() for k in (2, 3))
    assert json.loads((folder / "labels-2" / "job.json").read_text())["state"] == "done"
