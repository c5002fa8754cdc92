"""From a configuration to the objects of a training run."""

from __future__ import annotations

import functools

from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from spot.architectures.start_weights import load_initial
from spot.data.pairs import AugmentSettings, CropSettings
from spot.data.steps import StepPlan
from spot.data.training_sets import labelled_sets
from spot.supervision.teacher import Teacher
from spot.training.callbacks.checkpoints import default_callbacks
from spot.training.callbacks.monitoring import Monitoring
from spot.training.callbacks.pictures import Pictures
from spot.training.csv_logger import EpochCSVLogger
from spot.training.data_module import TrackingData
from spot.training.loggers import describe
from spot.training.module import SparseTracker
from spot.training.run import Run


def build_data(cfg: DictConfig, run: Run) -> TrackingData:
    """Sets, key frames and the run's sampler state."""
    sets = [instantiate(each) for each in cfg.data.train]
    files = list(cfg.data.get("key_frames") or [None] * len(sets))
    key_frames = labelled_sets(sets, cfg.supervision.key_frames, cfg.labels, cfg.paths.labels, cfg.seed, files)
    sizes = cfg.arch.network
    return TrackingData(
        sets,
        key_frames,
        plan=StepPlan(cfg.training.steps, _burn_in(cfg), cfg.training.labelled, cfg.training.unlabelled),
        crops=CropSettings(sizes.template_size, sizes.search_size, **cfg.arch.crops),
        augment=AugmentSettings(**cfg.augment),
        state_folder=run.folder / "sampler_state",
        fresh=run.resume_from is None,
        pseudo_labels=cfg.supervision.pseudo_labels,
        seed=cfg.seed,
        distinct=cfg.training.distinct,
        snapshot_every=cfg.state.snapshot_every,
        resume_every=cfg.checkpoint.resume_every,
        checkpoint_every=cfg.checkpoint.every,
        **cfg.exploration,
        **cfg.loader,
    )


def build_tracker(cfg: DictConfig) -> SparseTracker:
    """Student, loss, recipe and the teacher of the method."""
    network = instantiate(cfg.arch.network)
    load_initial(network, cfg.initial, cfg.arch.name)
    if cfg.compile:
        network.compile()
    recipe = instantiate(cfg.arch.recipe)
    network.begin_epoch(0)  # refuses a backbone that cannot be frozen, before any work
    teacher = functools.partial(
        Teacher, threshold=cfg.teacher.threshold, window=cfg.teacher.window, decay=cfg.teacher.decay
    )
    return SparseTracker(
        network,
        instantiate(cfg.arch.loss),
        recipe,
        teacher if cfg.supervision.pseudo_labels else None,
        burn_in=_burn_in(cfg),
        ema_interval=cfg.teacher.ema_interval,
        seed=cfg.seed,
        arch=cfg.arch.name,
    )


def build_callbacks(cfg: DictConfig, run: Run) -> list[Callback]:
    """Checkpoints, progress, and what is watched."""
    pictures = Pictures(cfg.monitor.pictures_every, cfg.monitor.pictures)
    return [
        Monitoring(),
        pictures,
        *default_callbacks(run.checkpoints, cfg.checkpoint.every, cfg.checkpoint.resume_every),
    ]


def build_loggers(cfg: DictConfig, run: Run) -> list[Logger]:
    """metrics.csv always, and the chosen logger where it is another."""
    own = EpochCSVLogger(run.folder)
    chosen = instantiate(cfg.logger) if cfg.logger else own
    if isinstance(chosen, EpochCSVLogger):
        return [own]
    describe(chosen, cfg)
    return [own, chosen]


def _burn_in(cfg: DictConfig) -> int:
    return cfg.training.burn_in if cfg.supervision.pseudo_labels else cfg.training.epochs
