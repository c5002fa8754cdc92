"""Make the trainer of a run, and fit; errors of other processes are reported in one line."""

from __future__ import annotations

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from spot.runtime.cpu import fitting_threads
from spot.runtime.errors import SpotError
from spot.runtime.processes import stop_together
from spot.runtime.ranks import is_first_process
from spot.training.callbacks.checkpoints import ResumePoint
from spot.training.callbacks.ema import TeacherAverage
from spot.training.callbacks.run_start import RunStart
from spot.training.callbacks.state_keeper import SamplerStateKeeper
from spot.training.checkpoint_files import WholeCheckpoints
from spot.training.csv_logger import MetricsRows
from spot.training.data_module import TrackingData
from spot.training.loggers import build_loggers, close, where_to_look
from spot.training.module import SparseTracker
from spot.training.run import Run


def build_trainer(cfg: DictConfig, run: Run) -> pl.Trainer:
    """Make Lightning's trainer with the run's loggers and callbacks.

    Raises:
        SpotError: a callback is missing that the method or resuming needs, or an option needs another device.
    """
    loggers = build_loggers(cfg, run.folder)
    trainer = instantiate(
        cfg.trainer,
        logger=list(loggers),
        callbacks=[RunStart(run, cfg), *build_callbacks(cfg), MetricsRows(loggers[0])],
        plugins=[WholeCheckpoints()],
        default_root_dir=run.folder,
        enable_progress_bar=False,  # there is one among the callbacks
        use_distributed_sampler=False,  # our own part of each step follows from the rank
    )
    device = trainer.strategy.root_device.type
    if cfg.trainer.get("sync_batchnorm") and device == "cpu":
        raise SpotError("trainer.sync_batchnorm=true works on GPUs only; leave it out")
    if device == "mps":
        raise SpotError("training needs float64, which Apple's MPS lacks; add trainer=cpu")
    if is_first_process():
        print(f"run {cfg.run}: " + (f"continues after epoch {run.finished_epochs}" if run.resume_from else "starts"))
        print(f"dashboard: {', '.join(map(where_to_look, loggers))}")
    return trainer


def build_callbacks(cfg: DictConfig) -> list[Callback]:
    """Make the callbacks of `conf/callbacks` in their order; null leaves one out.

    Raises:
        SpotError: a callback is missing that the method or resuming needs.
    """
    callbacks = [callback for callback in instantiate(cfg.callbacks).values() if callback is not None]
    needed: dict[str, type[Callback]] = {"resume_point": ResumePoint}
    if cfg.supervision.pseudo_labels:
        needed |= {"sampler_state": SamplerStateKeeper, "teacher_average": TeacherAverage}
    for name, kind in needed.items():
        if not any(isinstance(callback, kind) for callback in callbacks):
            raise SpotError(f"callbacks: {name} is missing; keep default in the list, as in callbacks=[default,other]")
    return callbacks


def fit(trainer: pl.Trainer, tracker: SparseTracker, data: TrackingData, run: Run) -> None:
    """Train to the end, from the run's last checkpoint if there is one.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C, or by a scheduler's SIGTERM or SIGUSR1.
        SystemExit: another process of the run died, and a third process prints the error.
        SpotError: a loader process or another process of the run died; the last finished epoch is safe. Or the
            checkpoint is of another network.
    """
    safe = f"the last finished epoch is safe in {run.checkpoints}; the same command continues"
    try:
        with fitting_threads(data.workers, trainer.num_devices), stop_together(trainer, safe):
            trainer.fit(tracker, data, ckpt_path=run.resume_from, weights_only=True)
    except (ConnectionError, EOFError) as error:  # while receiving a batch
        raise SpotError(f"a loader process died ({type(error).__name__}); {safe}") from error
    except RuntimeError as error:
        if "in loading state_dict" in str(error):
            raise SpotError(
                f"{run.resume_from}: holds another network than these settings and this version make; continue the run "
                f"with the version that began it, or choose another run="
            ) from error
        if "DataLoader worker" not in str(error):
            raise
        raise SpotError(f"{str(error).splitlines()[0]}; {safe}") from error
    close(trainer.loggers)
