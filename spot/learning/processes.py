"""The processes of one run: which is the first, how they are stopped, and what if one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.distributed import DistError

_PATIENCE = 10.0  # seconds that a process has to end by itself and say why
_STOPPING = (signal.SIGTERM, signal.SIGUSR1)


class ProcessGuard(Callback):
    """Stops all processes of a run together, within seconds.

    Gloo tells at once that another process is gone. NCCL waits for minutes, and a process that computes notices nothing;
    so a thread watches the processes that Lightning has started, or the one that has started this one. Those that
    SLURM or torchrun have started are watched by these.

    SIGTERM and SIGUSR1 stop the run as Ctrl-C does: Lightning's own handlers talk to other processes, which hangs if
    those are in a step, and save in the midst of an epoch, where nothing can be resumed exactly. On SIGUSR1 (`#SBATCH
    --signal=USR1@120`) the first process also asks SLURM to put the job into the queue again.

    Args:
        way_on: what to tell the user who has lost the run.
    """

    def __init__(self, way_on: str) -> None:
        self.way_on = way_on
        self._others: list[subprocess.Popen] = []
        self._why: str | None = None
        self._over = threading.Event()
        self._handlers: dict[int, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """All processes have found each other: watch them."""
        self._handlers = {number: signal.getsignal(number) for number in _STOPPING}
        self._handle_signals(trainer)
        launcher = trainer.strategy.launcher
        started: list[subprocess.Popen] | None = getattr(launcher, "procs", None)
        if started:
            self._others = list(started)
            started.clear()  # Lightning's own watch kills this process too, without a word; it ends with an empty list
            self._watch(self._lost_child, trainer)
        elif started is not None and trainer.local_rank > 0 and "TORCHELASTIC_RUN_ID" not in os.environ:
            self._parent = os.getppid()
            self._watch(self._lost_parent, trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back from Lightning."""
        self._handle_signals(trainer)
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

    def end(self) -> None:
        """The fit is over, whatever its end."""
        self._over.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def explain(self, trainer: pl.Trainer) -> str | None:
        """One line on a lost connection, for one process to say; None where another has spoken or will."""
        if self._others and self._why is not None:
            return self._why or None
        return f"another process of the run died; {self.way_on}" if trainer.global_rank <= 1 else None

    def _watch(self, lost: Any, trainer: pl.Trainer) -> None:
        def run() -> None:
            while not self._over.wait(1):
                if (why := lost()) is not None and not self._over.wait(_PATIENCE):
                    self._give_up(why if trainer.local_rank <= 1 else "")

        threading.Thread(target=run, daemon=True, name="process-guard").start()

    def _lost_child(self) -> str | None:
        """Why the run cannot go on: "" where the process that ended has said it."""
        for rank, process in enumerate(self._others, 1):
            if status := process.poll():
                return f"process {rank} of the run was killed (signal {-status}); {self.way_on}" if status < 0 else ""
        return None

    def _lost_parent(self) -> str | None:
        if os.getppid() == self._parent:
            return None
        return f"the first process of the run was killed; {self.way_on}"

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
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _requeue() -> None:
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"SLURM job {job} could not be requeued ({error}); submit it again", file=sys.stderr, flush=True)
