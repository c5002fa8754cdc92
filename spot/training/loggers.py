"""Make and close loggers; log settings and histograms."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from spot.runtime.errors import SpotError
from spot.runtime.extras import how_to_install
from spot.training.csv_logger import EpochCSVLogger

LONGEST_ID = 100


def open_wandb(
    run: str,
    folder: str | Path,
    project: str,
    mode: str,
    entity: str | None = None,
    group: str | None = None,
    job_type: str = "train",
    new: bool = False,
) -> WandbLogger:
    """Return a Weights & Biases logger. It continues the run of that name if there is one.

    Args:
        run: name of the run: its folder relative to the outputs.
        folder: wandb writes into `wandb/` in this folder.
        project, entity, group, job_type: place of the run on the dashboard.
        mode: online, offline (`wandb sync` uploads later) or disabled.
        new: make a new run each time.

    Raises:
        SpotError: wandb is not installed or refuses the key, or the mode does not exist.
    """
    try:
        import wandb
    except ImportError:
        raise SpotError(f"logger=wandb needs wandb; {how_to_install('wandb')}") from None
    if mode not in ("online", "offline", "disabled"):
        raise SpotError(f"logger.mode={mode}: choose online, offline or disabled")
    by_agent = "WANDB_SWEEP_ID" in os.environ  # its run's name and place are given
    Path(folder).mkdir(parents=True, exist_ok=True)
    logger = WandbLogger(
        name=run,
        id=None if new or by_agent else run_id(run),
        project=project,
        save_dir=str(folder),
        entity=entity,
        group=None if by_agent else group,
        job_type=job_type,
        mode=mode,
        settings=wandb.Settings(console="off", quiet=True),  # do not upload progress bars
    )
    logger._wandb_init.pop("anonymous", None)  # which Lightning sets and wandb warns of
    try:
        _ = logger.experiment  # begins the run
    except wandb.errors.Error as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SpotError(f"logger.mode={mode}: {reason}; check WANDB_API_KEY, or set logger.mode=offline") from None
    return logger


def run_id(run: str) -> str:
    """Return an identifier from a run's name: wandb allows neither slashes nor long ones."""
    plain = "".join(c if c.isalnum() or c in "_.-=," else "_" for c in run)
    return plain if len(plain) <= LONGEST_ID else f"{plain[:LONGEST_ID]}_{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def build_loggers(cfg: DictConfig, folder: Path) -> tuple[EpochCSVLogger, *tuple[Logger, ...]]:
    """Make the logger of metrics.csv, followed by the chosen one if it is another."""
    own = EpochCSVLogger(folder)
    chosen = instantiate(cfg.logger) if cfg.logger else own
    if isinstance(chosen, EpochCSVLogger):
        return (own,)
    describe(chosen, cfg)
    return own, chosen


@rank_zero_only
def describe(logger: Logger, cfg: DictConfig) -> None:
    """Log the whole configuration and the version of the code."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    logger.log_hyperparams({str(key): value for key, value in settings.items()} | {"commit": git_commit()})


def git_commit() -> str | None:
    """Return the checkout's git commit, followed by `+` if files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


@rank_zero_only
def log_histogram(
    loggers: Sequence[Logger], name: str, counts: np.ndarray, edges: np.ndarray, epoch: int, step: int
) -> None:
    """Log counts (n,) between edges (n + 1,): a histogram on Weights & Biases, fractions of the bins in metrics.csv."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            histogram = wandb.Histogram(np_histogram=(counts, edges))
            logger.experiment.log({name: histogram, "epoch": epoch, "trainer/global_step": step})
        elif isinstance(logger, TensorBoardLogger):
            middles = (edges[1:] + edges[:-1]) / 2
            logger.experiment.add_histogram_raw(
                name,
                min=float(edges[0]),
                max=float(edges[-1]),
                num=int(counts.sum()),
                sum=float(counts @ middles),
                sum_squares=float(counts @ middles**2),
                bucket_limits=edges[1:].tolist(),
                bucket_counts=counts.tolist(),
                global_step=step,
            )
        elif isinstance(logger, EpochCSVLogger):
            fractions: dict[str, Any] = {
                f"{name}/{low:.2f}": float(count)
                for low, count in zip(edges, counts / max(1, counts.sum()), strict=False)
            }
            logger.log_metrics({**fractions, "epoch": epoch}, step)


def where_to_look(logger: Logger) -> str:
    """Return the place where a logger's numbers can be seen: a file, an address, or the command that shows them."""
    if isinstance(logger, WandbLogger):
        run = logger.experiment
        sync = f"wandb sync {Path(run.dir).parent}"
        return {"disabled": "none (logger.mode=disabled)", "offline": sync}.get(run.settings.mode) or str(run.url)
    if isinstance(logger, TensorBoardLogger):
        return f"tensorboard --logdir {logger.log_dir}"
    return str(getattr(logger, "file", None) or logger.save_dir or type(logger).__name__)


@rank_zero_only
def close(loggers: Sequence[Logger]) -> None:
    """End the runs on Weights & Biases, so that the next run of this process is a new one."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
