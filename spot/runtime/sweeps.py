"""Sweeps on disk: `-m labels=2,3,5` runs a command once for each combination.

`<folder>/sweep.json` lists the jobs and their swept values; `<folder>/<job>/job.json` records how each job ended. The
folder of a job depends only on the swept values. So the same sweep continues where it was stopped, and a larger sweep
of the same name keeps the jobs that are done.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

PLAN_FILE, RECORD_FILE, LOG_FILE = "sweep.json", "job.json", "log.txt"
MAKES_RUNS = ("train", "onekey")
"""Commands whose jobs are runs. For other commands the folders contain only records."""
LONGEST_NAME = 120


@dataclass(frozen=True)
class Sweep:
    """The jobs of a sweep.

    Attributes:
        folder: folder of the sweep; it contains the folder of each job.
        command: train, onekey, ...
        jobs: name of each job -> its swept values by key.
    """

    folder: Path
    command: str
    jobs: dict[str, dict[str, str]]

    @property
    def swept(self) -> list[str]:
        """Return the keys whose values differ between jobs."""
        return sorted({key for values in self.jobs.values() for key in values})

    def write(self) -> None:
        """Write the jobs; the jobs of an earlier sweep of that name stay in the list."""
        earlier = read_sweep(self.folder).jobs if (self.folder / PLAN_FILE).is_file() else {}
        _write_json(self.folder / PLAN_FILE, {"command": self.command, "jobs": {**earlier, **self.jobs}})


@dataclass(frozen=True)
class Record:
    """The state of a job.

    Attributes:
        state: waiting, running, done or failed.
        cause: error message of a failed job, one line.
        seconds: duration of the last attempt.
        command: the command that repeats this job alone.
    """

    state: str
    cause: str | None = None
    seconds: float | None = None
    command: str | None = None


def read_sweep(folder: Path) -> Sweep:
    """Read the sweep of a folder.

    Raises:
        SpotError: the folder is not a sweep, or its file is damaged.
    """
    file = folder / PLAN_FILE
    try:
        content = json.loads(file.read_text())
        jobs = {str(name): {str(k): str(v) for k, v in values.items()} for name, values in content["jobs"].items()}
        return Sweep(folder, str(content["command"]), jobs)
    except OSError:
        raise SpotError(f"{folder} is not a sweep: it has no {PLAN_FILE}; give sweep=<name or folder> of one") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpotError(f"{file}: damaged; delete it, the same sweep writes it again") from None


def find_sweep(name: str, outputs: str | Path) -> Sweep:
    """Find a sweep by its name under `paths.outputs`, or by its folder."""
    folder = Path(name) if (Path(name) / PLAN_FILE).is_file() else Path(outputs) / name
    return read_sweep(folder)


def read_record(folder: Path) -> Record:
    """Read the state of the job in a folder. A missing or damaged record counts as waiting."""
    try:
        return Record(**json.loads((folder / RECORD_FILE).read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return Record("waiting")


def write_record(folder: Path, record: Record) -> None:
    """Write the state of a job. Of several SLURM tasks of one job, the first one writes."""
    if os.environ.get("SLURM_PROCID", "0") == "0":
        _write_json(folder / RECORD_FILE, {k: v for k, v in asdict(record).items() if v is not None})


def begin(sweep: Sweep) -> None:
    """Write the plan and mark every job as waiting."""
    sweep.write()
    for job in sweep.jobs:
        if (sweep.folder / job / RECORD_FILE).is_file():
            write_record(sweep.folder / job, Record("waiting"))


def summarise(sweep: Sweep) -> int:
    """Print how the jobs ended; failed ones with the error message.

    Returns:
        The number of jobs that are not done.
    """
    records = {job: read_record(sweep.folder / job) for job in sweep.jobs}
    done = sum(record.state == "done" for record in records.values())
    print(f"{done} of {len(records)} jobs done in {sweep.folder}", file=sys.stderr)
    for job, record in records.items():
        if record.state != "done":
            cause = record.cause if record.state == "failed" else f"still {record.state}"
            print(f"  {job}: {cause}", file=sys.stderr)
    return len(records) - done


def sweep_folder(command: str, outputs: str | Path, name: str | None, swept: Iterable[str]) -> Path:
    """Return the folder of a sweep: `name` under the outputs, or a name made of the swept keys."""
    keys = "_".join(sorted(_plain(key) for key in swept)) or "single"
    if command in MAKES_RUNS:
        return Path(outputs) / (name or f"sweep_{keys}")
    return Path(outputs) / "sweeps" / f"{command}_{keys}"


def job_name(values: Mapping[str, str]) -> str:
    """Return the name of a job. It does not depend on the order of the options.

    >>> job_name({"labels": "3", "arch": "transt_tiny"})
    'arch-transt_tiny_labels-3'
    """
    name = "_".join(f"{_plain(key)}-{_plain(values[key])}" for key in sorted(values)) or "job"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


def _write_json(path: Path, content: object) -> None:
    with replacing(path) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n")
