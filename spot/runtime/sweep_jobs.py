"""Run the jobs of a sweep, each in a separate process.

A failed job then does not stop the others. A job may also start processes (`trainer=ddp`): these repeat the command of
the job, not of the sweep. The Hydra launcher in `hydra_plugins/spot_launcher.py` calls `run_jobs`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from spot.runtime.sweeps import LOG_FILE, MAKES_RUNS, Record, Sweep, begin, summarise, write_record

CAUSE_VARIABLE = "SPOT_CAUSE_FILE"
"""Environment variable: the file to which a job writes the error message that ended it."""
TERMINATED = "SIGTERM"
PATIENCE = 30.0  # seconds that a job has to end when the sweep is interrupted; then it is killed
_running: set[subprocess.Popen] = set()


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        folder: folder of its record and log, and of its run.
        command: train, onekey, ...
        options: its `key=value` options.
        flags: further words of its command line, such as `--config-dir`.
    """

    folder: Path
    command: str
    options: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """Return the command line, starting with the interpreter."""
        return [sys.executable, "-m", f"spot.{self.command}", *self.options, *self.flags]


def run_options(command: str, sweep: str, job: str, options: Sequence[str]) -> tuple[str, ...]:
    """Return a job's options. For a command that trains they also name the run, `<sweep>/<job>`."""
    if command not in MAKES_RUNS:
        return tuple(options)
    given = {option.partition("=")[0].lstrip("+~") for option in options}
    return (*options, f"run='{sweep}/{job}'", *([] if "sweep" in given else [f"sweep='{sweep}'"]))


def run_sweep(sweep: Sweep, jobs: Sequence[Job], n_jobs: int = 1) -> int:
    """Run all jobs, also after one has failed, and print how they ended.

    Args:
        sweep: its plan is written first.
        jobs: the jobs of the sweep.
        n_jobs: jobs at a time. With more than one, the output of a job goes to `log.txt` in its folder.

    Returns:
        The number of jobs that are not done.
    """
    begin(sweep)
    with terminable():
        run_jobs(jobs, n_jobs)
    return summarise(sweep)


def run_jobs(jobs: Sequence[Job], n_jobs: int = 1) -> None:
    """Run jobs one after another, or several at a time. An interruption ends the running ones."""
    try:
        if n_jobs == 1:
            for job in jobs:
                run_job(job, log=False)
            return
        with ThreadPoolExecutor(n_jobs) as pool:
            try:
                list(pool.map(run_job, jobs))
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                _end_running(terminate=TERMINATED in error.args)
                raise
    except BaseException as error:
        _end_running(terminate=TERMINATED in error.args)
        raise


def run_job(job: Job, log: bool = True) -> Record:
    """Run one job and note how it ended. With `log` its output goes to `log.txt` in its folder."""
    job.folder.mkdir(parents=True, exist_ok=True)
    cause = job.folder / "cause.txt"
    cause.unlink(missing_ok=True)
    shown = " ".join(["python", *job.words[1:]])
    write_record(job.folder, Record("running", command=shown))
    print(f"job {job.folder.name}", file=sys.stderr, flush=True)
    start = time.monotonic()
    with (job.folder / LOG_FILE).open("a") if log else contextlib.nullcontext() as out:
        status = _status(job.words, {**os.environ, CAUSE_VARIABLE: str(cause)}, out)
    record = Record("done", seconds=round(time.monotonic() - start, 1), command=shown)
    if status != 0:
        record = replace(record, state="failed", cause=_cause(status, cause))
    cause.unlink(missing_ok=True)
    write_record(job.folder, record)
    return record


def note_cause(text: str) -> None:
    """In a job: record the error message that ends it. With several processes, the first message is kept."""
    if file := os.environ.get(CAUSE_VARIABLE):
        with contextlib.suppress(OSError), open(file, "x") as out:
            out.write(text)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a sweep as Ctrl-C does, so that no job goes on running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt(TERMINATED)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _status(words: Sequence[str], environment: dict[str, str], out: IO[str] | None) -> int:
    process = subprocess.Popen(words, env=environment, stdout=out, stderr=out)
    _running.add(process)
    status = process.wait()
    _running.discard(process)
    return status


def _end_running(terminate: bool) -> None:
    """End the processes of jobs. They receive Ctrl-C on a terminal too, but not SIGTERM."""
    left = [process for process in _running if process.poll() is None]
    for end in ("terminate", "kill") if terminate else (None, "terminate", "kill"):
        for process in left:
            if end:
                getattr(process, end)()
        deadline = time.monotonic() + PATIENCE
        for process in left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        left = [process for process in left if process.poll() is None]
        if not left:
            break
    _running.clear()


def _cause(status: int, file: Path) -> str:
    if file.is_file():
        return file.read_text().strip()
    if status < 0:
        killed = signal.Signals(-status).name
        return f"killed by {killed}" + (" (out of memory?)" if killed == "SIGKILL" else "")
    return "interrupted" if status == 130 else f"exit status {status}"
