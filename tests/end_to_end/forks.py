"""Commands in processes of their own, forked from one that has loaded torch: a new interpreter takes seconds for that."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "spot.training.fit",
        "spot.training.loggers",
        "spot.training.callbacks.run_start",
        "spot.architectures.start_weights",
        "spot.architectures.transt.network",
        "spot.architectures.ocean.network",
        "spot.tracking.runner",
        "spot.reporting.evaluate_benchmark",
        "spot.reporting.plots",
        "spot.reporting.report",
        "spot.reporting.strips",
        "pandas",
        "scipy.stats",
        "jinja2",
    ]
)


class Forked:
    """A running command; the part of `subprocess.Popen` that tests use."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, stdout: Path, stderr: Path
    ) -> None:
        """Start `python -m <words>`, or `python <words>` for a script, in `folder`, with its output in two files (or one)."""
        for file in (stdout, stderr):
            file.write_text("")
        self._process = _CONTEXT.Process(target=_become, args=(list(words), dict(environment), folder, stdout, stderr))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the command runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """The exit status, when the command has ended."""
        self._process.join(timeout)
        if (status := self.poll()) is None:
            self._process.kill()
            raise subprocess.TimeoutExpired("a forked command", timeout)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _become(words: list[str], environment: dict[str, str], folder: Path, stdout: Path, stderr: Path) -> None:
    """In the fork: do what a new interpreter does."""
    for descriptor, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # as in a new interpreter, for loader processes
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(words)
    try:
        if words[0].endswith(".py"):
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
