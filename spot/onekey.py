"""python -m spot.onekey arch=transt labels=3 benchmark=lasot: train, test a range of epochs, evaluate."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from spot.runtime.command import command
from spot.runtime.errors import SpotError

_JOB = "SPOT_ONEKEY_JOB"
_SET_BY_LIGHTNING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")


def onekey(cfg: DictConfig) -> None:
    """Run the chosen stages in order; each continues what an interrupted one left.

    A process that Lightning starts for a stage runs only that stage. Processes that torchrun or SLURM have started after
    the first one train; they test only if `testing.devices` or `testing.num_nodes` ask for several processes.
    """
    _check(cfg)
    tests = {f"test {epoch}": _test_options(cfg, epoch) for epoch in _tested_epochs(cfg)}
    jobs: dict[str, Callable[[], object]] = {}
    if "train" in cfg.stages:
        jobs["train"] = functools.partial(_train, cfg)
    if "test" in cfg.stages:
        jobs |= {name: functools.partial(_test, options) for name, options in tests.items()}
    if "evaluate" in cfg.stages:
        jobs["evaluate"] = functools.partial(_evaluate, cfg)

    only = os.environ.get(_JOB)
    for name, job in jobs.items():
        if only in (None, name):
            with _processes_of(name):
                job()


def _check(cfg: DictConfig) -> None:
    """Refuse settings with which the run cannot be tested after training.

    Raises:
        SpotError: one line that names the key.
    """
    from spot.runtime.ranks import is_first_process

    epochs = _tested_epochs(cfg)
    without = [epoch for epoch in epochs if not _has_teacher(cfg, epoch)]
    if cfg.model == "teacher" and without:
        why = (
            f"epoch {without[0]} is in burn-in"
            if cfg.supervision.pseudo_labels
            else f"supervision={cfg.supervision.name}"
        )
        raise SpotError(f"model=teacher: no teacher exists ({why}); leave model= out, or set model=student")
    if "train" in cfg.stages:
        kept = [e for e in epochs if e % cfg.checkpoint.every == 0 and e <= cfg.training.epochs]
        there = Path(cfg.paths.outputs) / cfg.run / "checkpoints"
        missing = [e for e in epochs if e not in kept and not (there / f"epoch_{e:04d}.ckpt").is_file()]
        if missing and "test" in cfg.stages:
            raise SpotError(
                f"epoch {missing[0]} will have no checkpoint: checkpoint.every={cfg.checkpoint.every} of "
                f"training.epochs={cfg.training.epochs}; change start_epoch, end_epoch, interval or checkpoint.every"
            )
    if cfg.testing.tracker is not None and len(epochs) > 1 and "test" in cfg.stages:
        raise SpotError(
            f"testing.tracker= names the results of one epoch, not of {len(epochs)}; set start_epoch=end_epoch"
        )
    if set(cfg.stages) & {"test", "evaluate"} and is_first_process():
        instantiate(cfg.benchmark.videos)  # a missing data set is found before training, not after it


def _has_teacher(cfg: DictConfig, epoch: int) -> bool:
    return bool(cfg.supervision.pseudo_labels) and epoch > cfg.training.burn_in


@contextlib.contextmanager
def _processes_of(job: str) -> Iterator[None]:
    """Within this context, processes that Lightning starts belong to this stage and do not affect the next one."""
    free = [name for name in (_JOB, *_SET_BY_LIGHTNING) if name not in os.environ]
    os.environ.setdefault(_JOB, job)
    try:
        yield
    finally:
        for name in free:
            os.environ.pop(name, None)


def _train(cfg: DictConfig) -> None:
    from spot.train import train

    train(cfg)


def _test(options: DictConfig) -> None:
    from spot.runtime.ranks import is_first_process
    from spot.test import test_tracker
    from spot.tracking.benchmark import several_processes

    if is_first_process() or several_processes(options.accelerator, options.devices, options.num_nodes):
        test_tracker(options)


def _tested_epochs(cfg: DictConfig) -> list[int]:
    """Finished-epoch numbers of the checkpoints to test, both ends included."""
    interval = cfg.interval or cfg.checkpoint.every
    end = cfg.end_epoch or cfg.training.epochs
    start = cfg.start_epoch or max(interval, end - 3 * interval)
    epochs = list(range(start, end + 1, interval))
    if not epochs:
        raise SpotError(f"start_epoch={start}, end_epoch={end}, interval={interval}: no epoch to test")
    return epochs


def _test_options(cfg: DictConfig, epoch: int) -> DictConfig:
    """Return the configuration of `python -m spot.test run=<run> epoch=<epoch>`."""
    options = copy.deepcopy(cfg)
    with open_dict(options):
        options.update({**cfg.testing, "checkpoint": None, "epoch": epoch})
    return options


def _evaluate(cfg: DictConfig) -> None:
    from spot.evaluate import evaluate_trackers
    from spot.reporting.sweep_report import epochs_of
    from spot.runtime.ranks import is_first_process
    from spot.tracking.loading import run_label

    if not is_first_process():
        return
    label, reports = run_label(cfg.run), Path(cfg.paths.reports) / cfg.benchmark.name
    if cfg.testing.tracker:
        trackers = [str(cfg.testing.tracker)]
    else:
        folder = Path(cfg.paths.results) / cfg.benchmark.name
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        if not (trackers := [name for *_, name in epochs_of(label, names)]):
            raise SpotError(f"{folder} has no results of run {cfg.run}; add test to stages=")
    epoch = _tested_epochs(cfg)[-1]
    model = cfg.model or ("teacher" if _has_teacher(cfg, epoch) else "student")
    last = cfg.testing.tracker or f"{label}_{model}_e{epoch:03d}"
    # jobs of a sweep would overwrite each other's report
    evaluate_trackers(cfg, cfg.evaluation, trackers, reports / label if cfg.get("sweep") else reports, last)


@command("onekey")
def main(cfg: DictConfig) -> None:
    onekey(cfg)


if __name__ == "__main__":
    main()
