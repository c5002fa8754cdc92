"""A run's folder: is it new, can it be continued, is it done?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from spot.errors import SpotError

# What may change between two parts of a run without changing what is learnt.
_FREE = ("paths", "trainer", "logger", "resume", "run", "loader.workers", "benchmark", "experiment", "local")


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

    @property
    def finished_epochs(self) -> int:
        """How many epochs the checkpoint to continue from has behind it."""
        if self.resume_from is None:
            return 0
        return torch.load(self.resume_from, map_location="cpu", weights_only=True, mmap=True)["epoch"] + 1


def open_run(cfg: DictConfig) -> Run:
    """The run that the configuration names, ready to start or to continue.

    Raises:
        SpotError: the run exists with `resume=never`, or with another configuration unless `resume=anyway`.
    """
    folder = Path(cfg.paths.outputs) / cfg.run
    last = folder / "checkpoints" / "last.ckpt"
    config = folder / "config.yaml"
    if config.is_file() and cfg.resume == "never":
        raise SpotError(f"run {cfg.run} exists in {folder}; choose another run= or delete the folder")
    if config.is_file() and cfg.resume != "anyway":
        differing = _differences(OmegaConf.load(config), cfg)
        if differing:
            raise SpotError(
                f"run {cfg.run} was started with another configuration: {'; '.join(differing[:8])}; "
                f"choose another run=, or resume=anyway to continue it with the new one"
            )
    return Run(folder, last if last.is_file() else None)


def write_config(run: Run, cfg: DictConfig) -> None:
    """Keep the configuration beside what it makes; a reader finds the old or the new one, never half."""
    run.folder.mkdir(parents=True, exist_ok=True)
    temporary = run.folder / "config.yaml.tmp"
    OmegaConf.save(cfg, temporary, resolve=True)
    temporary.replace(run.folder / "config.yaml")


def _differences(old: Any, new: DictConfig) -> list[str]:
    before, after = (_flat(OmegaConf.to_container(c, resolve=True)) for c in (old, new))
    return [
        f"{key}={before.get(key)} then, {after.get(key)} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not _free(key)
    ]


def _free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict):
        return {k: v for name, child in node.items() for k, v in _flat(child, f"{prefix}{name}.").items()}
    if isinstance(node, list):
        return {k: v for i, child in enumerate(node) for k, v in _flat(child, f"{prefix}{i}.").items()}
    return {prefix[:-1]: node}
