"""Two processes of one run, by each of the ways in which they are started, and what happens when one of them dies."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from spot.state.store import StateStore
from spot.training.run import Run
from tests.end_to_end.runs import SMOKE, TIMEOUT, command, complaint, ok, wait_for, wait_until
from tests.paths import ROOT

DDP = (*SMOKE, "trainer=ddp", "trainer.accelerator=cpu")
LONG = ("training.epochs=500", "checkpoint.every=1000")


def explored(outputs):
    state = StateStore.open(outputs / "smoke" / "sampler_state").at(10**9)
    return [state.target(p).ids.tolist() for p in range(len(state.explored_counts))]


def started(*options, outputs, name="train", prefix=(), **environment):
    arguments, env = command(name, *options, outputs=outputs, **environment)
    return subprocess.Popen(
        [arguments[0], *prefix, *arguments[1:]],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    """Not gone, nor dead and waiting to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def handles(pid, number):
    """Whether the process has a handler of its own for the signal: here, it has found the others."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (number - 1) & 1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


def set_back(outputs, elsewhere):
    """The finished run of one process as it was after two of three epochs."""
    shutil.copytree(outputs / "smoke", elsewhere / "smoke")
    checkpoints = elsewhere / "smoke" / "checkpoints"
    shutil.copy(checkpoints / "epoch_0002.ckpt", checkpoints / "last.ckpt")


def test_a_run_moves_from_one_process_to_two_and_back(outputs, elsewhere):
    """The network has no BatchNorm. The draws follow from the state, so the same frames are explored."""
    set_back(outputs, elsewhere)
    done = ok("train", *DDP, outputs=elsewhere)
    assert "continues after epoch 2" in done.stdout
    assert explored(elsewhere) == explored(outputs)
    checkpoints = elsewhere / "smoke" / "checkpoints"
    shutil.copy(checkpoints / "epoch_0002.ckpt", checkpoints / "last.ckpt")
    assert "continues after epoch 2" in ok("train", *SMOKE, outputs=elsewhere).stdout
    assert explored(elsewhere) == explored(outputs)


def test_torchrun_starts_both_processes_of_a_run_that_must_be_new(elsewhere):
    """The second one looks when the first may have written the run."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    process = started(*DDP, "resume=never", "training.epochs=2", outputs=elsewhere, prefix=torchrun)
    text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, text
    assert text.count("run smoke: starts") == 1
    assert (elsewhere / "smoke" / "checkpoints" / "epoch_0002.ckpt").exists()


@pytest.mark.parametrize("victim", ["second process", "first process", "loader process"])
def test_a_killed_process_ends_the_run_in_one_line(elsewhere, victim):
    """What is left is whole. (Lightning starts the second process when the first has written the run, which must be new.)"""
    process = started(*DDP, "resume=never", "loader.workers=1", *LONG, outputs=elsewhere)
    last = elsewhere / "smoke" / "checkpoints" / "last.ckpt"
    wait_for(last, process)
    second = next(p for p in children(process.pid) if b"LOCAL_RANK=1" in Path(f"/proc/{p}/environ").read_bytes())
    family = [process.pid, *children(process.pid), *children(second)]
    chosen = {"second process": second, "first process": process.pid, "loader process": children(second)[0]}[victim]
    os.kill(chosen, signal.SIGKILL)
    text, _ = process.communicate(timeout=TIMEOUT)  # until the last of the family lets go of the pipe
    assert process.returncode == (-signal.SIGKILL if victim == "first process" else 1)
    said = {
        "second process": "process 1 of the run was killed (signal 9)",
        "first process": "another process of the run died",
        "loader process": "DataLoader worker",
    }[victim]
    (line,) = errors(text)
    assert said in line
    assert "the same command continues" in line
    assert not [pid for pid in family if is_alive(pid)]
    StateStore.open(elsewhere / "smoke" / "sampler_state").verify()
    assert Run(elsewhere / "smoke", last).finished_epochs >= 1


def test_a_process_killed_before_it_has_found_the_others_ends_the_run_in_one_line(elsewhere):
    process = started(*DDP, outputs=elsewhere)
    wait_until(lambda: children(process.pid), process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    text, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1, text
    (line,) = errors(text)
    assert "process 1 of the run was killed (signal 9)" in line


LONG_TEST = ("run=smoke", "benchmark.videos.videos=2", "benchmark.videos.frames=600", "benchmark.videos.size=[96,80]")


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, "error: .*process of the run (died|was killed)", id="killed"),
        pytest.param(signal.SIGTERM, 130, "stopped", id="SIGTERM of a scheduler"),
    ],
)
def test_tracking_ends_with_the_first_process(outputs, elsewhere, number, status, said):
    """The second process, which would wait until the others' videos end, says why and ends too."""
    (elsewhere / "smoke").symlink_to(outputs / "smoke")
    options = (*LONG_TEST, "benchmark=synthetic", "accelerator=cpu", "devices=2")
    process = started(*options, outputs=elsewhere, name="test")
    wait_until(lambda: handles(process.pid, signal.SIGTERM), process)
    (second,) = children(process.pid)
    process.send_signal(number)
    text, _ = process.communicate(timeout=TIMEOUT)  # until the second one lets go of the pipe
    assert process.returncode == status, text
    assert len(re.findall(f"^{said}.*; the same command continues$", text, re.MULTILINE)) == 1, text
    assert not is_alive(second)


def test_slurm_is_asked_once_to_queue_the_job_again(elsewhere, tmp_path):
    """USR1 before the time limit: a clean end of both tasks with the last epoch safe, one request to queue again."""
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    options = (*SMOKE, "trainer=slurm", "trainer.accelerator=cpu", "resume=auto", *LONG)

    both = [started(*options, outputs=elsewhere, SLURM_PROCID=rank, SLURM_LOCALID=rank, **slurm) for rank in "01"]
    last = elsewhere / "smoke" / "checkpoints" / "last.ckpt"
    wait_for(last, both[0])
    for task in both:
        task.send_signal(signal.SIGUSR1)
    for task in both:
        text, _ = task.communicate(timeout=TIMEOUT)
        assert task.returncode == 130, text
        assert not errors(text)
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert not list(elsewhere.rglob("hpc_ckpt*"))  # Lightning's own, saved in the midst of an epoch
    assert Run(elsewhere / "smoke", last).finished_epochs >= 1


def test_slurm_outside_a_job_is_refused(elsewhere):
    line = complaint("train", *SMOKE, "trainer=slurm", outputs=elsewhere)
    assert "SLURM_NTASKS_PER_NODE is not set" in line
    assert not (elsewhere / "smoke").exists()
