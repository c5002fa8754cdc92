"""A run's settings and folder: can it be meant, is it new, can it be continued, is it done?

What is wrong is told before torch is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from spot.runtime.atomic_files import remove_partial, replacing
from spot.runtime.errors import SpotError
from spot.runtime.ranks import is_first_process

# What may change between two parts of a run without changing what is learnt.
_FREE = (
    "paths",
    "trainer",
    "logger",
    "monitor",
    "sweep",
    "resume",
    "run",
    "loader.workers",
    "benchmark",
    "testing",
    "evaluation",
    "stages",
)


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        folder: holds config.yaml, checkpoints/, sampler_state/ and logs.
        resume_from: the checkpoint to continue, or None for a fresh start.
    """

    folder: Path
    resume_from: Path | None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @cached_property
    def progress(self) -> tuple[int, dict[int, dict[str, Any]]]:
        """Finished epochs, and the rows of metrics.csv, as the checkpoint to continue from has them.

        Raises:
            SpotError: the checkpoint is damaged.
        """
        if self.resume_from is None:
            return 0, {}
        from spot.training.checkpoint_files import read_checkpoint  # loads torch, which refusing a run does not need

        content = read_checkpoint(self.resume_from)
        return content["epoch"] + 1, content.get("metrics_rows", {})

    @property
    def finished_epochs(self) -> int:
        """How many epochs the checkpoint to continue from has behind it."""
        return self.progress[0]


def open_run(cfg: DictConfig) -> Run:
    """The run that the configuration names, ready to start or to continue.

    The first process decides: when the others look, it may have begun to write.

    Raises:
        SpotError: the run exists with `resume=never`, or with another configuration unless `resume=anyway`.
    """
    folder = Path(cfg.paths.outputs) / cfg.run
    last = folder / "checkpoints" / "last.ckpt"
    config = folder / "config.yaml"
    run = Run(folder, last if last.is_file() else None)
    if not config.is_file() or not is_first_process():
        return run
    if cfg.resume == "never":
        raise SpotError(f"run {cfg.run} exists in {folder}; choose another run= or delete the folder")
    if cfg.resume != "anyway":
        differing = _differences(OmegaConf.load(config), cfg)
        if differing:
            raise SpotError(
                f"run {cfg.run} was started with another configuration: {'; '.join(differing[:8])}; "
                f"choose another run=, or resume=anyway to continue it with the new one"
            )
    return run


def repair(run: Run) -> None:
    """Put right what a killed process left: half-written files, and rows of metrics.csv that it lost. First process only."""
    from spot.training.csv_logger import restore_rows

    remove_partial(run.folder, run.checkpoints, run.folder / "sampler_state")
    restore_rows(run.folder / "metrics.csv", run.progress[1])


def write_config(run: Run, cfg: DictConfig) -> None:
    """Keep the configuration beside what it makes; a reader finds the old or the new one, never half. First process only."""
    with replacing(run.folder / "config.yaml") as aside:
        OmegaConf.save(cfg, aside, resolve=True)


def _differences(old: Any, new: DictConfig) -> list[str]:
    before, after = (_flat(OmegaConf.to_container(c, resolve=True)) for c in (old, new))
    return [
        f"{key}={before.get(key)} then, {after.get(key)} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not _free(key)
    ]


def _free(key: str) -> bool:
    place = key.rsplit(".", 1)[-1] in ("root", "cache")  # a data set may have moved
    return place or any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict):
        return {k: v for name, child in node.items() for k, v in _flat(child, f"{prefix}{name}.").items()}
    if isinstance(node, list):
        return {k: v for i, child in enumerate(node) for k, v in _flat(child, f"{prefix}{i}.").items()}
    return {prefix[:-1]: node}


def check_settings(cfg: DictConfig) -> None:
    """Refuse numbers that cannot be meant, and a trainer that lacks its scheduler, before any work."""
    OmegaConf.to_container(cfg.trainer, resolve=True)
    at_least = {
        "labels": (cfg.labels, 1),
        "training.epochs": (cfg.training.epochs, 1),
        "training.burn_in": (cfg.training.burn_in, 0),
        "training.steps": (cfg.training.steps, 1),
        "training.labelled": (cfg.training.labelled, 1),
        "training.unlabelled": (cfg.training.unlabelled, 1),
        "checkpoint.every": (cfg.checkpoint.every, 1),
        "checkpoint.resume_every": (cfg.checkpoint.resume_every, 1),
        "loader.workers": (cfg.loader.workers, 0),
        "exploration.step": (cfg.exploration.step, 0),
    }
    for key, (value, least) in at_least.items():
        if not isinstance(value, int) or value < least:
            raise SpotError(f"{key}={value}: give a whole number of at least {least}")
    for key, value in {"teacher.threshold": cfg.teacher.threshold, "teacher.window": cfg.teacher.window}.items():
        if not 0 <= value <= 1:
            raise SpotError(f"{key}={value}: give a number from 0 to 1")
    if cfg.supervision.pseudo_labels and cfg.training.burn_in >= cfg.training.epochs:
        raise SpotError(
            f"training.burn_in={cfg.training.burn_in} leaves no epoch of training.epochs={cfg.training.epochs} for the "
            f"sparse stage; shorten it, or train on key frames alone with supervision=sparse"
        )
    if cfg.resume not in ("auto", "never", "anyway"):
        raise SpotError(f"resume={cfg.resume}: choose auto, never or anyway")
