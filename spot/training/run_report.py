"""What `spot.train` says at the end of a run, or of a run that was done before."""

from __future__ import annotations

import shlex

import pytorch_lightning as pl
from omegaconf import DictConfig

from spot.reporting.plots import draw_exploration
from spot.runtime.ranks import is_first_process
from spot.runtime.wording import counted
from spot.training.csv_logger import read_rows
from spot.training.rounds import labels_may_grow
from spot.training.run import Run


def is_done(cfg: DictConfig, run: Run, labels_known: bool = False) -> bool:
    """Return whether all epochs are trained; if so, print it.

    A run on labels that its user draws is done only if there are no new ones, which the first process finds out.
    """
    if run.finished_epochs < cfg.training.epochs or (labels_may_grow(cfg) and not labels_known):
        return False
    print(f"run {cfg.run} is done: {counted(run.finished_epochs, 'epoch')} in {run.folder}")
    if is_first_process() and not (run.folder / "exploration.png").is_file():
        _draw(cfg, run)
    return True


def report(cfg: DictConfig, run: Run, trainer: pl.Trainer) -> None:
    """Draw what was explored; print where the run is and which command comes next. First process only."""
    if not trainer.is_global_zero:
        return
    _draw(cfg, run)
    last, name = run.checkpoints / "last.ckpt", shlex.quote(f"run={cfg.run}")
    print(f"run {cfg.run}: {counted(cfg.training.epochs, 'epoch')} in {run.folder}, last checkpoint {last}")
    if labels_may_grow(cfg):
        print(f"next: python -m spot.annotate {name}")
    else:
        print(f"next: python -m spot.test {name} benchmark=NAME (conf/benchmark lists the names)")


def _draw(cfg: DictConfig, run: Run) -> None:
    if cfg.supervision.pseudo_labels:
        draw_exploration(read_rows(run.folder / "metrics.csv"), run.folder / "exploration")
