"""Two processes of one run, by each of the ways in which they are started, and what happens when one of them dies."""

import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from spot.state.store import StateStore
from spot.training.run import Run
from tests.end_to_end.runs import LONG, SMOKE, TIMEOUT, complaint, metrics, ok, run_words, start, wait_for, wait_until

DDP = (*SMOKE, "trainer=ddp", "trainer.accelerator=cpu")


def explored(outputs):
    state = StateStore.open(outputs / "smoke" / "sampler_state").at(10**9)
    return [state.target(p).ids.tolist() for p in range(len(state.explored_counts))]


def started(*options, outputs, name="train", **environment):
    return start(name, *options, outputs=outputs, said=outputs / "said", **environment)


def ended(process, outputs, pids=()):
    """Exit status and output, when the command and the processes `pids` have ended."""
    status = process.wait(TIMEOUT)
    deadline = time.monotonic() + TIMEOUT
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status, (outputs / "said").read_text()


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
    row = metrics(elsewhere / "smoke")[3]
    assert float(row["state/inserted"]) > 0
    assert float(row["teacher_spread"]) == 0, "both have one teacher"
    checkpoints = elsewhere / "smoke" / "checkpoints"
    shutil.copy(checkpoints / "epoch_0002.ckpt", checkpoints / "last.ckpt")
    assert "continues after epoch 2" in ok("train", *SMOKE, outputs=elsewhere).stdout
    assert explored(elsewhere) == explored(outputs)


def test_torchrun_starts_both_processes_of_a_run_that_must_be_new(elsewhere):
    """The second one looks when the first may have written the run."""
    torchrun = ("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "spot.train")
    done = run_words([*torchrun, *DDP, "resume=never", "training.epochs=2", "training.steps=1"], elsewhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run smoke: starts") == 1
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
    status, text = ended(process, elsewhere, family)
    assert status == (-signal.SIGKILL if victim == "first process" else 1)
    said = {
        "second process": "process 1 of the run was killed (signal 9)",
        "first process": "another process of the run died",
        "loader process": "DataLoader worker",
    }[victim]
    (line,) = errors(text)
    assert said in line
    assert "the same command continues" in line
    StateStore.open(elsewhere / "smoke" / "sampler_state").verify()
    assert Run(elsewhere / "smoke", last).finished_epochs >= 1


def test_a_process_killed_before_it_has_found_the_others_ends_the_run_in_one_line(elsewhere):
    process = started(*DDP, outputs=elsewhere)
    wait_until(lambda: children(process.pid), process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    status, text = ended(process, elsewhere)
    assert status == 1, text
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
    options = (*LONG_TEST, "benchmark=synthetic", "accelerator=cpu", "devices=2", "backend=torch")
    process = started(*options, outputs=elsewhere, name="test")
    wait_until(lambda: handles(process.pid, signal.SIGTERM), process)
    (second,) = children(process.pid)
    process.send_signal(number)
    ended_with, text = ended(process, elsewhere, [second])
    assert ended_with == status, text
    assert len(re.findall(f"^{said}.*; the same command continues$", text, re.MULTILINE)) == 1, text


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

    tasks = [(rank, elsewhere / f"said{rank}") for rank in "01"]
    both = [
        start("train", *options, outputs=elsewhere, said=said, SLURM_PROCID=rank, SLURM_LOCALID=rank, **slurm)
        for rank, said in tasks
    ]
    last = elsewhere / "smoke" / "checkpoints" / "last.ckpt"
    wait_for(last, both[0])
    for task in both:
        task.send_signal(signal.SIGUSR1)
    for task, (_, said) in zip(both, tasks, strict=True):
        assert task.wait(TIMEOUT) == 130, said.read_text()
        assert not errors(said.read_text())
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert not list(elsewhere.rglob("hpc_ckpt*"))  # Lightning's own, saved in the midst of an epoch
    assert Run(elsewhere / "smoke", last).finished_epochs >= 1


def test_slurm_outside_a_job_is_refused(elsewhere):
    line = complaint("train", *SMOKE, "trainer=slurm", outputs=elsewhere)
    assert "SLURM_NTASKS_PER_NODE is not set" in line
    assert not (elsewhere / "smoke").exists()
