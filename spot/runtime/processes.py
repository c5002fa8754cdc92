"""The processes that train or track together: how they are stopped, what if one of them dies, and how they part."""

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

_PATIENCE = 10.0  # seconds that a process has to end by itself and say why
_STOPPING = (signal.SIGTERM, signal.SIGUSR1)
_PARENT = "SPOT_PARENT_PROCESS"


@contextlib.contextmanager
def stop_together(trainer: pl.Trainer, resume_hint: str) -> Iterator[None]:
    """Around `trainer.fit` or `trainer.predict`: all processes end together, whatever ends them, and one says why.

    Args:
        trainer: gets a `ProcessGuard` before its other callbacks.
        resume_hint: what to tell the user of whom a process was lost.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C, or by a scheduler's SIGTERM or SIGUSR1.
        SystemExit: another process died, and a third one tells.
        SpotError: another process died.
    """
    guard = ProcessGuard(trainer, resume_hint)
    trainer.callbacks.insert(0, guard)  # type: ignore[attr-defined]
    try:
        yield
        guard.part()
    except SystemExit:
        if trainer.interrupted:  # Lightning turns an interruption into an exit status that says nothing
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

    Gloo tells at once that another process is gone. NCCL waits for minutes, and a process that computes or that has not
    found the others yet notices nothing; so a thread watches the processes that Lightning has started, or the one that has
    started this one. Those that SLURM or torchrun have started are watched by these.

    SIGTERM and SIGUSR1 stop the run as Ctrl-C does: Lightning's own handlers talk to other processes, which hangs if
    those are in a step, and save in the midst of an epoch, where nothing can be resumed exactly. On SIGUSR1 (`#SBATCH
    --signal=USR1@120`) the first process also asks SLURM to put the job into the queue again.

    Args:
        trainer: has started nothing yet.
        resume_hint: what to tell the user who has lost the run.
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
            os.environ[_PARENT] = str(os.getpid())  # inherited by those that are started now
            self._take_over_children(trainer)

    def _take_over_children(self, trainer: pl.Trainer) -> None:
        """Watch the processes that Lightning starts as soon as it has started them, before they find each other.

        Lightning's own watch would kill this process as well, without a word; with an empty list it ends.
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
        """All processes have found each other: signals are handled here from now on."""
        self._handlers = {number: signal.getsignal(number) for number in _STOPPING}
        self._handle_signals(trainer)
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        # Lightning would ask all processes about them at every step, and swallow whatever error arrives meanwhile
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """This process ends: so do those that it has started. They hold nothing that is not safe."""
        self._over.set()
        if connection_lost(exception):  # whoever has died, or is about to, may have something to say
            deadline = time.monotonic() + _PATIENCE
            while self._others and self._lost_child() is None and time.monotonic() < deadline:
                time.sleep(0.05)
        self._why = self._lost_child()
        for process in self._others:
            process.kill()

    def part(self) -> None:
        """All is done. Processes that Lightning has started end here, before the first one goes on.

        What is left of their connections would now and then abort an interpreter that shuts down. Those that others have
        started keep them: they may have a next stage.
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
        """It is over, whatever its end."""
        self._over.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def explain(self, trainer: pl.Trainer) -> str | None:
        """One line on a lost connection, for one process to say; None where another has spoken or will."""
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
        """Why the run cannot go on: "" where the process that ended has said it."""
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
        """The main thread hangs in a collective operation: nothing but this ends it."""
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
    """Whether an error says that another process of the run is gone."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _requeue() -> None:
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"SLURM job {job} could not be requeued ({error}); submit it again", file=sys.stderr, flush=True)
