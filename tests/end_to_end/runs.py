"""Real commands in processes of their own, and what they leave behind."""

import csv
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.end_to_end.forks import Forked
from tests.paths import ROOT

TIMEOUT = 900  # seconds, on however busy a machine: only a process that hangs takes longer
SMOKE = ("experiment=smoke", "run=smoke")  # a run of seconds
LONG = ("training.epochs=500", "training.steps=2", "checkpoint.every=1000")  # goes on until it is stopped


def environment_of(outputs: Path, **variables: str) -> dict[str, str]:
    """Environment of a command: no data set's folder, one thread, these outputs and variables."""
    known = {k: v for k, v in os.environ.items() if not k.endswith("_ROOT")}
    return {**known, "SPOT_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1", **variables}


def start(name: str, *options: str, outputs: Path, said: Path, folder: Path = ROOT, **environment: str) -> Forked:
    """Start `python -m spot.<name> <options>` in `folder`; all that it prints goes to the file `said`."""
    return Forked([f"spot.{name}", *options], environment_of(outputs, **environment), folder, said, said)


def run_words(
    words: Sequence[str], outputs: Path, timeout: float = TIMEOUT, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess:
    """`python -m <words>`, or a script's path and its options, in `folder`; what it prints is captured."""
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        status = Forked(words, environment_of(outputs, **environment), folder, out, err).wait(timeout)
        return subprocess.CompletedProcess(words, status, out.read_text(), err.read_text())


def run(name: str, *options: str, outputs: Path, **rest: Any) -> subprocess.CompletedProcess:
    """`python -m spot.<name> <options>`; `rest` as in `run_words`."""
    return run_words([f"spot.{name}", *options], outputs, **rest)


def wait_for(path: Path, process: Forked) -> None:
    """Until a running command has made a file."""
    wait_until(path.exists, process)


def wait_until(condition: Callable[[], bool], process: Forked) -> None:
    """Until something is true while a command runs."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert process.poll() is None, "the command ended"
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def ok(name: str, *options: str, outputs: Path, **rest: Any) -> subprocess.CompletedProcess:
    """The same for a command that must succeed."""
    done = run(name, *options, outputs=outputs, **rest)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def complaint(name: str, *options: str, outputs: Path, **rest: Any) -> str:
    """The one line of a command that must fail by the user's mistake."""
    done = run(name, *options, outputs=outputs, **rest)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return lines[0]


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    """Networks, optimiser, scheduler, counters and state version of a checkpoint as flat tensors and values."""
    found = torch.load(folder / "checkpoints" / name, weights_only=True, map_location="cpu")
    optimizer = found["optimizer_states"][0]["state"]
    moments = {f"optimizer.{k}.{n}": v for k, values in optimizer.items() for n, v in values.items()}
    (scheduler,) = found["lr_schedulers"]
    rates = {f"rate.{i}": group["lr"] for i, group in enumerate(found["optimizer_states"][0]["param_groups"])}
    counters = {
        "epoch": found["epoch"],
        "step": found["global_step"],
        **found["TrackingData"],
        **found.get("sampler_state", {}),
    }
    return {**found["state_dict"], **moments, **rates, **counters, "scheduler": scheduler}


def state_digest(folder: Path) -> str:
    """Names and content of all versions of the sampler state, snapshots and record logs included."""
    digest = hashlib.sha256()
    for file in sorted((folder / "sampler_state").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def metrics(folder: Path) -> dict[int, dict[str, str]]:
    """The row of each epoch in metrics.csv, without what depends on the machine."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        int(row["epoch"]): {k: v for k, v in row.items() if not k.startswith(("speed/", "memory/"))} for row in rows
    }


def assert_same_run(a: Path, b: Path) -> None:
    """Bit-identical: every checkpoint (networks, optimiser, scheduler, counters), the sampler state, all metrics."""
    names = sorted(file.name for file in (a / "checkpoints").iterdir())
    assert names == sorted(file.name for file in (b / "checkpoints").iterdir())
    for name in names:
        first, second = weights(a, name), weights(b, name)
        assert first.keys() == second.keys()
        different = [k for k in first if not _same(first[k], second[k])]
        assert not different, (name, different[:5])
    assert state_digest(a) == state_digest(b)
    before, after = metrics(a), metrics(b)
    assert before.keys() == after.keys(), "a row of metrics.csv is missing"
    differing = {
        (epoch, k): (v, after[epoch].get(k))
        for epoch in before
        for k, v in before[epoch].items()
        if v != after[epoch].get(k)
    }
    assert not differing, differing


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
