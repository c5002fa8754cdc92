"""python -m spot.train arch=transt labels=3: train a tracker from a few labelled frames per video."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, open_dict

from spot.runtime.command import command
from spot.runtime.locks import locked
from spot.runtime.precision import resolve_precision
from spot.runtime.ranks import is_first_process
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
        repair(run)
        _train(cfg, run)
    return run.folder


def _train(cfg: DictConfig, run: Run) -> None:
    import torch
    from hydra.utils import instantiate

    from spot.architectures.start_weights import load_initial
    from spot.training.callbacks.progress import waiting
    from spot.training.fit import build_trainer, fit
    from spot.training.quiet import quieten
    from spot.training.rounds import current_round, start_of_round
    from spot.training.run_report import is_done, report

    quieten()
    if is_done(cfg, run):
        return
    torch.manual_seed(cfg.seed)
    with waiting("reading annotations"):
        data = instantiate(cfg.datamodule)(fresh=run.resume_from is None)
    run = current_round(cfg, run, data)  # another one if its user has drawn more labels
    if is_done(cfg, run, labels_known=is_first_process()):
        return
    network = instantiate(cfg.arch.network)
    if run.resume_from is None:  # a checkpoint has all weights; what `initial` names need not exist any more
        load_initial(network, start_of_round(run.folder) or cfg.initial, cfg.arch.name)
    module = instantiate(cfg.module)(network=network)
    trainer = build_trainer(cfg, run)
    fit(trainer, module, data, run)
    report(cfg, run, trainer)


@command("train")
def main(cfg: DictConfig) -> None:
    train(cfg)


if __name__ == "__main__":
    main()
