"""Training runs that are killed: started as forks or as real commands, killed at chosen moments. Used by stress_resume.py."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir

from spot.runtime.composing import config_folder
from spot.train import train

ROOT = Path(__file__).resolve().parents[1]
MOMENTS = ("", "between checkpoint and metrics", "", "between", "", "the state", "", "a checkpoint")
"""What kills wait for by turns, as `being_written` names it; "" for nothing."""
LONGEST = 600  # seconds that a run may take; it takes a few


def start_fork(options: Sequence[str], outputs: Path) -> int:
    """Start a training run as a fork of this process, which has torch loaded; its process id.

    What it prints goes to `outputs`/said. It leads a process group that its loader processes belong to.
    """
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("train", [*options, f"paths.outputs={outputs}"])
    if child := os.fork():
        os.setpgid(child, child)
        return child
    status = 1
    try:
        os.setpgid(0, 0)  # the parent does the same; one of the two is first
        signal.alarm(LONGEST)
        tempfile.tempdir = str(outputs)  # what a killed loader process leaves there goes with the round
        said = os.open(outputs / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        train(cfg)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def start_command(options: Sequence[str], outputs: Path) -> int:
    """Start a training run by the command that users type, as runs of several processes need; its process id."""
    with (outputs / "said").open("a") as said:
        command = [sys.executable, "-m", "spot.train", *options, f"paths.outputs={outputs}"]
        return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, start_new_session=True).pid


def has_ended(process: int, outputs: Path) -> bool:
    """Return whether a run has ended by itself. Raise RuntimeError if it has failed."""
    found, status = os.waitpid(process, os.WNOHANG)
    if found and status:
        said = (outputs / "said").read_text()[-4000:]
        raise RuntimeError(f"a run ended with status {os.waitstatus_to_exitcode(status)}, saying\n{said}")
    return bool(found)


def being_written(run: Path, since: float) -> str:
    """Return what a kill at this moment interrupts of what a process begun at `since` writes, "" for nothing."""
    last, metrics = run / "checkpoints" / "last.ckpt", run / "metrics.csv"
    if any(written(partial) > since for partial in (run / "checkpoints").glob("*.partial")):
        return "a checkpoint"
    if any(written(partial) > since for partial in (run / "sampler_state").glob("*.partial")):
        return "the state"
    if written(last) > max(written(metrics), since):
        return "between checkpoint and metrics"
    states = sorted((run / "sampler_state").glob("*-*.state"))[-1:]
    if any(written(state) > max(written(last), since) for state in states):
        return "between state and checkpoint"
    return ""


def written(file: Path) -> float:
    """Return when a file was written last; 0 if it does not exist."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0


def kill_again_and_again(
    options: Sequence[str], outputs: Path, longest: float, kills: int, draw: random.Random, processes: int = 1
) -> Counter:
    """Start a run and kill it, up to so many times, then let it end; what the kills interrupted.

    Kills come at random times, and then wait for what `MOMENTS` says. By turns they hit all processes at once, and the
    main process alone, whose other processes must notice it.

    Args:
        longest: seconds of the whole run; a kill waits for at most 0.4 of it, so that eight reach the end.
    """
    start = start_fork if processes == 1 else start_command
    interrupted: Counter = Counter()
    groups: list[int] = []
    for turn in range(kills):
        process = start(options, outputs)
        groups.append(process)
        since, moment = time.time(), time.monotonic() + draw.uniform(0, 0.4) * longest
        wanted = MOMENTS[turn % len(MOMENTS)]
        while not (over := has_ended(process, outputs)) and (
            time.monotonic() < moment or not being_written(outputs / "smoke", since).startswith(wanted)
        ):
            time.sleep(0.0005 if time.monotonic() >= moment else 0.005)
        if over:
            break
        (os.killpg if turn % 4 < 2 else os.kill)(process, signal.SIGKILL)
        os.waitpid(process, 0)
        interrupted[being_written(outputs / "smoke", since) or "nothing"] += 1
    else:
        process = start(options, outputs)
        while not has_ended(process, outputs):
            time.sleep(0.02)
    for group in groups:
        wait_until_gone(group)
    return interrupted


def wait_until_gone(group: int) -> None:
    """Wait for the end of a killed run's processes. Raise RuntimeError if one of them does not end."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    raise RuntimeError(f"processes of the killed run {group} are still there after a minute")
