"""python -m spot.train arch=transt labels=3: train a tracker from a few labelled frames per video."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from spot.runtime.command import command


def train(cfg: DictConfig) -> Path:
    """Train the run that the configuration names, or continue it.

    Returns:
        The run's folder.
    """
    from spot.training.run import check_settings, is_first_process, open_run, write_config

    check_settings(cfg)
    run = open_run(cfg)

    import torch
    from hydra.utils import instantiate

    from spot.reporting.plots import draw_exploration
    from spot.training.callbacks.progress import waiting
    from spot.training.checkpoint_files import WholeCheckpoints
    from spot.training.fit import fit
    from spot.training.loggers import close
    from spot.training.quiet import quieten
    from spot.training.setup import build_callbacks, build_data, build_loggers, build_tracker

    quieten()
    if run.finished_epochs >= cfg.training.epochs:
        print(f"run {cfg.run} is done: {run.finished_epochs} epochs in {run.folder}")
        return run.folder
    torch.manual_seed(cfg.seed)
    with waiting("reading annotations"):
        data = build_data(cfg, run)
    tracker = build_tracker(cfg)
    if is_first_process():
        write_config(run, cfg)
        print(f"run {cfg.run}: " + (f"continues after epoch {run.finished_epochs}" if run.resume_from else "starts"))
    trainer = instantiate(
        cfg.trainer,
        logger=build_loggers(cfg, run),
        callbacks=build_callbacks(cfg, run),
        plugins=[WholeCheckpoints()],
        default_root_dir=run.folder,
        enable_progress_bar=False,  # there is one among the callbacks
        use_distributed_sampler=False,  # our own share of each step follows from the rank
    )
    fit(trainer, tracker, data, run)
    close(trainer.loggers)
    if trainer.is_global_zero and cfg.supervision.pseudo_labels:
        draw_exploration(run.folder / "metrics.csv", run.folder / "exploration")
    return run.folder


@command("train")
def main(cfg: DictConfig) -> None:
    train(cfg)


if __name__ == "__main__":
    main()
