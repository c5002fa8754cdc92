"""Processes that train or track together: stop them together, notice when one dies, disconnect them at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch.distributed as distributed
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import LightningEnvironment

from spot.runtime.errors import SpotError

_PATIENCE = 10.0  # seconds that a process has to end and print its error
_STOPPING = (signal.SIGTERM, signal.SIGUSR1)
_PARENT = "SPOT_PARENT_PROCESS"


@contextlib.contextmanager
def stop_together(trainer: pl.Trainer, resume_hint: str) -> Iterator[None]:
    """Wrap `trainer.fit` or `trainer.predict` so that all processes end together and one of them prints the reason.

    Args:
        trainer: gets a `ProcessGuard` before its other callbacks.
        resume_hint: remedy in the message when a process was lost.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C, or by a scheduler's SIGTERM or SIGUSR1.
        SystemExit: another process died, and a third process prints the error.
        SpotError: another process died.
    """
    guard = ProcessGuard(trainer, resume_hint)
    trainer.callbacks.insert(0, guard)  # type: ignore[attr-defined]
    try:
        yield
        guard.part()
    except SystemExit:
        if trainer.interrupted:  # Lightning turns an interruption into an exit status without a message
            raise KeyboardInterrupt from None
        raise
    except RuntimeError as error:
        if not connection_lost(error):
            raise
        if why := guard.explain(trainer):
            raise SpotError(why) from error
        raise SystemExit(1) from error
    finally:
        guard.end()


class ProcessGuard(Callback):
    """Stops all processes together, within seconds.

    Gloo reports at once that another process is gone. NCCL waits for minutes. A process that computes, or that has not
    connected yet, notices nothing. So a thread watches the processes that Lightning has started, or the process that
    has started this one. SLURM and torchrun watch the processes that they have started.

    SIGTERM and SIGUSR1 stop the run as Ctrl-C does. Lightning's own handlers wait for the other processes, which hangs
    if those are in a step. They also save in the middle of an epoch, where a run cannot be resumed exactly. On SIGUSR1
    (`#SBATCH --signal=USR1@120`) the first process also asks SLURM to requeue the job.

    Args:
        trainer: has not started any process yet.
        resume_hint: remedy in the message when a process was lost.
    """

    def __init__(self, trainer: pl.Trainer, resume_hint: str) -> None:
        self.resume_hint = resume_hint
        self._others: list[subprocess.Popen] = []
        self._why: str | None = None
        self._over = threading.Event()
        self._handlers: dict[int, Any] = {}
        self._by_lightning = isinstance(getattr(trainer.strategy, "cluster_environment", None), LightningEnvironment)
        if self._by_lightning and trainer.local_rank > 0:
            self._watch(self._lost_parent, trainer)
        else:
            os.environ[_PARENT] = str(os.getpid())  # inherited by the processes that are started now
            self._take_over_children(trainer)

    def _take_over_children(self, trainer: pl.Trainer) -> None:
        """Watch the processes that Lightning starts as soon as it has started them, before they connect.

        Lightning's own watcher would kill this process as well, without a message. An empty list ends that watcher.
        """
        launcher: Any = trainer.strategy.launcher
        start = getattr(launcher, "_call_children_scripts", None)
        if start is None:
            return

        def start_and_watch() -> None:
            start()
            self._others = list(launcher.procs)
            launcher.procs.clear()
            if self._others:
                self._watch(self._lost_child, trainer)

        launcher._call_children_scripts = start_and_watch

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Handle signals from now on: all processes are connected."""
        self._handlers = {number: signal.getsignal(number) for number in _STOPPING}
        self._handle_signals(trainer)
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        # Lightning would ask all processes about signals at every step, and hide errors that arrive meanwhile
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End the processes that this one has started. They hold nothing that is not saved."""
        self._over.set()
        if connection_lost(exception):  # the process that has died, or is about to, may print an error
            deadline = time.monotonic() + _PATIENCE
            while self._others and self._lost_child() is None and time.monotonic() < deadline:
                time.sleep(0.05)
        self._why = self._lost_child()
        for process in self._others:
            process.kill()

    def part(self) -> None:
        """Disconnect at the end. Processes that Lightning has started exit here, before the first one continues.

        Open connections sometimes abort an interpreter that shuts down. Processes that SLURM or torchrun have started
        keep their connections: they may have a next stage.
        """
        self._over.set()
        if not self._by_lightning:
            return
        if distributed.is_initialized():
            distributed.destroy_process_group()
        deadline = time.monotonic() + _PATIENCE
        for process in self._others:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def end(self) -> None:
        """Stop watching, and restore the signal handlers."""
        self._over.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def explain(self, trainer: pl.Trainer) -> str | None:
        """Return the message about a lost connection; None if another process prints it."""
        if self._others and self._why is not None:
            return self._why or None
        return f"another process of the run died; {self.resume_hint}" if trainer.global_rank <= 1 else None

    def _watch(self, lost: Callable[[], str | None], trainer: pl.Trainer) -> None:
        def run() -> None:
            while not self._over.wait(1):
                if (why := lost()) is not None and not self._over.wait(_PATIENCE):
                    self._give_up(why if trainer.local_rank <= 1 else "")

        threading.Thread(target=run, daemon=True, name="process-guard").start()

    def _lost_child(self) -> str | None:
        """Return why the run cannot continue; "" if the process that ended has printed it."""
        for rank, process in enumerate(self._others, 1):
            if status := process.poll():
                return (
                    f"process {rank} of the run was killed (signal {-status}); {self.resume_hint}" if status < 0 else ""
                )
        return None

    def _lost_parent(self) -> str | None:
        if os.environ.get(_PARENT) in (None, str(os.getppid())):
            return None
        return f"the first process of the run was killed; {self.resume_hint}"

    def _give_up(self, why: str) -> NoReturn:
        """End this process while its main thread hangs in a collective operation."""
        if why:
            print(f"error: {why}", file=sys.stderr, flush=True)
        for process in self._others:
            process.kill()
        os._exit(1)

    def _handle_signals(self, trainer: pl.Trainer) -> None:
        owner = os.getpid()

        def stop(number: int, frame: Any) -> NoReturn:
            if os.getpid() != owner:  # a loader process has inherited this
                raise SystemExit(1)
            if number == signal.SIGUSR1 and trainer.is_global_zero and "SLURM_JOB_ID" in os.environ:
                _requeue()
            raise KeyboardInterrupt

        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                signal.signal(number, stop)


def connection_lost(error: BaseException) -> bool:
    """Return whether an error means that another process of the run is gone."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _requeue() -> None:
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"SLURM job {job} could not be requeued ({error}); submit it again", file=sys.stderr, flush=True)
