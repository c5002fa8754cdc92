"""python -m spot.onekey arch=transt labels=3 benchmark=lasot: train, test a range of epochs, evaluate."""

from __future__ import annotations

import copy
from pathlib import Path

from omegaconf import DictConfig, open_dict

from spot.command import command
from spot.errors import SpotError

STAGES = ("train", "test", "evaluate")


def onekey(cfg: DictConfig) -> None:
    """Run the chosen stages in order; each continues what an interrupted one left."""
    unknown = [stage for stage in cfg.stages if stage not in STAGES]
    if unknown:
        raise SpotError(f"stages={unknown}: choose from {', '.join(STAGES)}")
    tests = [_test_options(cfg, epoch) for epoch in _tested_epochs(cfg)]
    if "train" in cfg.stages:
        from spot.train import train

        train(cfg)
    if "test" in cfg.stages:
        from spot.test import test

        for options in tests:
            test(options)
    if "evaluate" in cfg.stages:
        _evaluate(cfg)


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
    """What `python -m spot.test run=<run> epoch=<epoch>` would be given."""
    options = copy.deepcopy(cfg)
    with open_dict(options):
        options.update({**cfg.testing, "checkpoint": None, "epoch": epoch})
    return options


def _evaluate(cfg: DictConfig) -> None:
    from spot.evaluate import evaluate
    from spot.tracking.assemble import run_label

    label = run_label(cfg.run)
    last = cfg.testing.tracker or f"{label}_{cfg.model or 'teacher'}_e{_tested_epochs(cfg)[-1]:03d}"
    evaluate(cfg, cfg.evaluation, [f"{label}_*"], Path(cfg.paths.reports) / cfg.benchmark.name, last)


@command("onekey")
def main(cfg: DictConfig) -> None:
    onekey(cfg)


if __name__ == "__main__":
    main()
