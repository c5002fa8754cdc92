"""Sweeps: `-m labels=2,3,5` runs a command once for each combination, every job in a folder and a process of its own.

`<folder>/sweep.json` lists the jobs and what distinguishes them, `<folder>/<job>/job.json` says how each of them ended.
A job's folder follows from the swept values alone, so the same sweep continues where it was stopped, and a larger one
takes over what is done. A process a job keeps failures apart, and lets a job start processes itself (`trainer=ddp`):
these repeat the job's own command, never the sweep.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from omegaconf import DictConfig

from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

FLAGS = ("-m", "--multirun")
PLAN_FILE, RECORD_FILE, LOG_FILE = "sweep.json", "job.json", "log.txt"
CAUSE_VARIABLE = "SPOT_CAUSE_FILE"
"""Environment variable: where a job writes the one line that ended it."""
SWEPT_VARIABLE = "SPOT_SWEPT_KEYS"
"""Environment variable: by which options a job's launcher knows the job, separated by blanks."""
MAKES_RUNS = ("train", "onekey")
"""Commands whose jobs are runs; the others' folders hold records alone."""
LONGEST_NAME = 120
TERMINATED = "SIGTERM"
PATIENCE = 30.0  # seconds for a job to end by itself when the sweep is interrupted


@dataclass(frozen=True)
class Sweep:
    """What a sweep consists of.

    Attributes:
        folder: of the sweep; a job's folder lies in it.
        command: train, onekey, ...
        jobs: name of each job to its swept values by key.
    """

    folder: Path
    command: str
    jobs: dict[str, dict[str, str]]

    @property
    def swept(self) -> list[str]:
        """The keys whose values differ between jobs."""
        return sorted({key for values in self.jobs.values() for key in values})

    def write(self) -> None:
        """Note the jobs, beside those that an earlier sweep of that name had."""
        path = self.folder / PLAN_FILE
        earlier = read_sweep(self.folder).jobs if path.is_file() else {}
        content = {"command": self.command, "jobs": {**earlier, **self.jobs}}
        _write_json(path, content)


@dataclass(frozen=True)
class Record:
    """How a job ended: done, failed, or neither yet (waiting, running).

    Attributes:
        state: waiting, running, done or failed.
        cause: one line, of a failed job.
        seconds: of its last attempt.
        command: what repeats the job alone.
    """

    state: str
    cause: str | None = None
    seconds: float | None = None
    command: str | None = None


def read_sweep(folder: Path) -> Sweep:
    """The sweep of a folder. Raises SpotError where it has none."""
    try:
        content = json.loads((folder / PLAN_FILE).read_text())
    except OSError:
        raise SpotError(f"{folder} is no sweep: it has no {PLAN_FILE}; give sweep=<name or folder> of one") from None
    return Sweep(folder, content["command"], content["jobs"])


def read_record(folder: Path) -> Record:
    """How the job of that folder stands."""
    try:
        return Record(**json.loads((folder / RECORD_FILE).read_text()))
    except OSError:
        return Record("waiting")


def plan(command: str, words: Sequence[str], config_folder: Path) -> Sweep:
    """The jobs that the command line asks for.

    Args:
        command: whose configuration it is.
        words: `key=value` options, some with several values.
        config_folder: absolute path of the `conf` folder.

    Raises:
        SpotError: options that cannot be swept, or that name a single run.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with initialize_config_dir(str(config_folder), version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        overrides = [o for o in parser.parse_overrides(list(words)) if not str(o.key_or_group).startswith("hydra")]
        places = re.compile(r"paths\b|local$|sweep$")
        where = [o for o in overrides if places.match(str(o.key_or_group)) and not o.is_sweep_override()]
        cfg = compose(command, [str(o.input_line) for o in where])
    if command in MAKES_RUNS and any(o.key_or_group == "run" for o in overrides):
        raise SpotError("run= names a single run; name a sweep by sweep=NAME, its jobs are named by what is swept")
    axes: list[list[tuple[str, str]]] = []
    for override in overrides:
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise SpotError(f"{override.input_line}: list the values, or search intervals with scripts/tune.py")
            key = override.get_key_element().lstrip("+~")
            axes.append([(key, value) for value in override.sweep_string_iterator()])
    combinations = list(itertools.product(*axes))
    jobs = {_name(dict(values)): dict(values) for values in combinations}
    if len(jobs) < len(combinations):
        raise SpotError("two jobs of the sweep are the same; give every value once")
    return Sweep(_folder(command, cfg, [axis[0][0] for axis in axes]), command, jobs)


def _folder(command: str, cfg: DictConfig, swept: Sequence[str]) -> Path:
    keys = "_".join(sorted(_plain(key) for key in swept)) or "single"
    outputs = Path(cfg.paths.outputs)
    if command in MAKES_RUNS:
        return outputs / (cfg.sweep or f"sweep_{keys}")
    return outputs / "sweeps" / f"{command}_{keys}"


def _name(values: dict[str, str]) -> str:
    """`arch-transt_tiny_labels-3`: the same whatever the order on the command line."""
    name = "_".join(f"{_plain(key)}-{_plain(values[key])}" for key in sorted(values)) or "job"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


def run_job(
    sweep: Path, command: str, overrides: Sequence[str], swept: Sequence[str], apart: bool, flags: Sequence[str] = ()
) -> Record:
    """Run one job as a process of its own and note how it ended.

    Args:
        sweep: folder of the sweep.
        command: train, onekey, ...
        overrides: the job's `key=value` options.
        swept: keys of those that distinguish it from the other jobs.
        apart: its output goes to `log.txt` in its folder, because other jobs run beside it.
        flags: further arguments of the command.
    """
    given = dict(_split(word) for word in overrides)
    name = _name({key: given[key] for key in swept})
    folder = sweep / name
    folder.mkdir(parents=True, exist_ok=True)
    words = [*overrides]
    if command in MAKES_RUNS:
        words.append(f"run='{sweep.name}/{name}'")
        words += [f"sweep={sweep.name}"] if "sweep" not in given else []
    arguments = [sys.executable, "-m", f"spot.{command}", *words, *flags]
    shown = " ".join(["python", *arguments[1:]])
    cause = folder / "cause.txt"
    cause.unlink(missing_ok=True)
    _note(folder, Record("running", command=shown))
    print(f"job {name}", file=sys.stderr, flush=True)
    start = time.monotonic()
    with (folder / LOG_FILE).open("a") if apart else contextlib.nullcontext() as log:
        status = _wait_for(arguments, {**os.environ, CAUSE_VARIABLE: str(cause)}, log)
    record = Record("done", seconds=round(time.monotonic() - start, 1), command=shown)
    if status != 0:
        record = replace(record, state="failed", cause=_cause(status, cause))
    cause.unlink(missing_ok=True)
    _note(folder, record)
    return record


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.lstrip("+~"), value


def _wait_for(command: Sequence[str], environment: dict[str, str], log: IO[str] | None) -> int:
    """Exit status of the command; it is ended before an interruption goes on."""
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        return process.wait()
    except BaseException as error:
        if TERMINATED in error.args:  # Ctrl-C on a terminal has reached the job already, this has not
            process.terminate()
        for end in (process.terminate, process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
                break
            end()
        raise


def _cause(status: int, file: Path) -> str:
    if file.is_file():
        return file.read_text().strip()
    if status < 0:
        killed = signal.Signals(-status).name
        return f"killed by {killed}" + (" (out of memory?)" if killed == "SIGKILL" else "")
    return "interrupted" if status == 130 else f"exit status {status}"


def note_cause(text: str) -> None:
    """In a job: keep the one line that ends it; of several processes' lines the first."""
    if file := os.environ.get(CAUSE_VARIABLE):
        with contextlib.suppress(OSError), open(file, "x") as out:
            out.write(text)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """A SIGTERM ends a sweep as Ctrl-C does: its job is not left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt(TERMINATED)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def begin(sweep: Sweep) -> None:
    """Write the plan; jobs that have not begun by the end are told."""
    sweep.write()
    for job in sweep.jobs:
        if (sweep.folder / job / RECORD_FILE).is_file():
            _note(sweep.folder / job, Record("waiting"))


def summarise(sweep: Sweep) -> int:
    """Tell how the jobs ended, failed ones by name and cause.

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


def _note(folder: Path, record: Record) -> None:
    if os.environ.get("SLURM_PROCID", "0") == "0":  # of the tasks of one job, the first
        _write_json(folder / RECORD_FILE, {k: v for k, v in asdict(record).items() if v is not None})


def _write_json(path: Path, content: object) -> None:
    with replacing(path) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n")


def overrides_of(words: Sequence[str]) -> list[str]:
    """The `key=value` options among the words of a command line."""
    return [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]


def with_sweep(words: Sequence[str], sweep: Sweep) -> list[str]:
    """The command line, told where the sweep lies and what is swept; options must stay together for the parser."""
    options = overrides_of(words)
    place = words.index(options[-1]) + 1 if options else len(words)
    told = [
        f"hydra.sweep.dir='{sweep.folder}'",
        f"++hydra.job.env_set.{SWEPT_VARIABLE}='{' '.join(sweep.swept)}'",
    ]
    return [*words[:place], *told, *words[place:]]
