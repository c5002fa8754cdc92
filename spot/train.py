"""python -m spot.train arch=transt labels=3: train a tracker from a few labelled frames per video."""

from __future__ import annotations

import shlex
from pathlib import Path

from omegaconf import DictConfig, open_dict

from spot.runtime.command import command
from spot.runtime.errors import SpotError
from spot.runtime.locks import locked
from spot.runtime.precision import resolve_precision
from spot.runtime.ranks import is_first_process
from spot.runtime.wording import counted
from spot.training.run import Run, check_settings, open_run, repair


def train(cfg: DictConfig) -> Path:
    """Train the run that the configuration names, or continue it.

    Returns:
        The run's folder.
    """
    with open_dict(cfg):
        cfg.trainer.precision = resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    check_settings(cfg)
    with locked(Path(cfg.paths.outputs) / cfg.run, f"run {cfg.run}"):
        run = open_run(cfg)
        _train(cfg, run)
    return run.folder


def _train(cfg: DictConfig, run: Run) -> None:
    import torch
    from hydra.utils import instantiate

    from spot.architectures.start_weights import load_initial
    from spot.reporting.plots import draw_exploration
    from spot.training.callbacks.progress import waiting
    from spot.training.callbacks.run_start import RunStart
    from spot.training.checkpoint_files import WholeCheckpoints
    from spot.training.csv_logger import MetricsRows, read_rows
    from spot.training.fit import build_callbacks, fit
    from spot.training.loggers import build_loggers, close, where_to_look
    from spot.training.quiet import quieten
    from spot.training.rounds import labels_may_grow, next_round, start_of_round

    quieten()
    if is_first_process():
        repair(run)
    grows = labels_may_grow(cfg)
    if not grows and _is_done(cfg, run):
        return
    torch.manual_seed(cfg.seed)
    with waiting("reading annotations"):
        data = instantiate(cfg.datamodule)(fresh=run.resume_from is None)
    if grows and is_first_process():
        run = next_round(run, data.targets, data.pseudo_labels)
        data.fresh = run.resume_from is None
        if _is_done(cfg, run):
            return
    network = instantiate(cfg.arch.network)
    if run.resume_from is None:  # a checkpoint has all weights; what `initial` names need not exist any more
        load_initial(network, start_of_round(run.folder) or cfg.initial, cfg.arch.name)
    tracker = instantiate(cfg.module)(network=network)
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
    if cfg.trainer.get("sync_batchnorm") and trainer.strategy.root_device.type == "cpu":
        raise SpotError("trainer.sync_batchnorm=true works on GPUs only; leave it out")
    if is_first_process():
        print(f"run {cfg.run}: " + (f"continues after epoch {run.finished_epochs}" if run.resume_from else "starts"))
        print(f"dashboard: {', '.join(map(where_to_look, loggers))}")
    fit(trainer, tracker, data, run)
    close(trainer.loggers)
    if trainer.is_global_zero:
        if cfg.supervision.pseudo_labels:
            draw_exploration(read_rows(run.folder / "metrics.csv"), run.folder / "exploration")
        print(
            f"run {cfg.run}: {counted(cfg.training.epochs, 'epoch')} in {run.folder}, last checkpoint {run.checkpoints / 'last.ckpt'}"
        )
        if grows:
            print(f"next: python -m spot.annotate {shlex.quote(f'run={cfg.run}')}")
        else:
            words = f"{shlex.quote(f'run={cfg.run}')} benchmark=NAME"
            print(f"next: python -m spot.test {words} (conf/benchmark lists the names)")


def _is_done(cfg: DictConfig, run: Run) -> bool:
    """Return whether all epochs are trained; if so, print it."""
    from spot.reporting.plots import draw_exploration
    from spot.training.csv_logger import read_rows

    if run.finished_epochs < cfg.training.epochs:
        return False
    print(f"run {cfg.run} is done: {counted(run.finished_epochs, 'epoch')} in {run.folder}")
    if is_first_process() and cfg.supervision.pseudo_labels and not (run.folder / "exploration.png").is_file():
        draw_exploration(read_rows(run.folder / "metrics.csv"), run.folder / "exploration")
    return True


@command("train")
def main(cfg: DictConfig) -> None:
    train(cfg)


if __name__ == "__main__":
    main()
