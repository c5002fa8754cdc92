"""Open a run: find out whether it is new, done, or may be continued with these settings."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from spot.runtime.atomic_files import remove_partial
from spot.runtime.checking import is_free, show
from spot.runtime.composing import given_options
from spot.runtime.errors import SpotError
from spot.runtime.extras import require
from spot.runtime.ranks import is_first_process
from spot.runtime.renamed_options import new_key
from spot.runtime.run_record import read_record, write_record
from spot.runtime.schema import Onekey


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        folder: folder with config.yaml, checkpoints/, sampler_state/ and logs.
        resume_from: the checkpoint to continue from; None for a new run.
        processes: number of processes that have trained it together; None if unknown.
    """

    folder: Path
    resume_from: Path | None
    processes: int | None = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @cached_property
    def progress(self) -> tuple[int, dict[int, dict[str, Any]]]:
        """Return the finished epochs and the rows of metrics.csv from the checkpoint to continue from.

        Raises:
            SpotError: the checkpoint is damaged.
        """
        if self.resume_from is None:
            return 0, {}
        from spot.training.checkpoint_files import read_checkpoint  # imports torch, which is not needed to refuse a run

        content = read_checkpoint(self.resume_from)
        return content["epoch"] + 1, content.get("metrics_rows", {})

    @property
    def finished_epochs(self) -> int:
        """Number of finished epochs in the checkpoint to continue from."""
        return self.progress[0]


def open_run(cfg: DictConfig) -> Run:
    """Return the run that the configuration names, ready to start or to continue.

    The first process decides: it may already write when the others look.

    Raises:
        SpotError: the run exists with `resume=never`, or with settings that change the weights unless `resume=anyway`.
    """
    folder = Path(cfg.paths.outputs) / cfg.run
    last = folder / "checkpoints" / "last.ckpt"
    record = read_record(folder)
    run = Run(folder, last if last.is_file() else None, record.processes if record else None)
    if record is None or not is_first_process():
        return run
    if cfg.resume == "never":
        raise SpotError(f"run {cfg.run} exists in {folder}; choose another run= or delete the folder")
    if cfg.resume == "anyway":
        return run
    if record.options is None:
        raise SpotError(
            f"run {cfg.run} was started by SPOT 0.1, whose runs this version cannot continue; finish it with 0.1, or "
            f"start a new run from its networks: run=NAME initial={folder}"
        )
    if differing := _differences(record.settings, cfg):
        raise SpotError(
            f"run {cfg.run} was started with another configuration: {'; '.join(differing[:8])}; "
            f"choose another run=, or resume=anyway to continue it with the new one"
        )
    return run


def repair(run: Run) -> None:
    """Remove half-written files of a killed process and restore the rows of metrics.csv."""
    if not is_first_process():
        return
    from spot.training.csv_logger import restore_rows

    remove_partial(run.folder, run.checkpoints, run.folder / "sampler_state")
    restore_rows(run.folder / "metrics.csv", run.progress[1])


def write_config(run: Run, cfg: DictConfig, processes: int) -> None:
    """Write the run's config.yaml: settings, given options, number of processes. First process only."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    flags = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    write_record(run.folder, cfg, given_options(), flags, processes)


def _differences(old: DictConfig, new: DictConfig) -> list[str]:
    """Return settings that change the weights and differ, as `key=old then, new now`."""
    before, after = (_flat(OmegaConf.to_container(c, resolve=True)) for c in (old, new))
    before = {new_key(key): value for key, value in before.items()}
    references = OmegaConf.to_container(new, resolve=False)
    missing = "none"
    return [
        f"{key}={show(before.get(key, missing))} then, {show(after.get(key, missing))} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, missing) != after.get(key, missing) and not _free(key, references)
    ]


def _free(key: str, references: Any) -> bool:
    """Return whether a setting may change: it is free, or refers only to free keys. A data set may have moved."""
    if key.rsplit(".", 1)[-1] in ("root", "cache", "splits") or is_free(key, Onekey):
        return True
    node, parts = references, key.split(".")
    while parts and isinstance(node, dict | list):
        name = parts.pop(0)
        node = node.get(name) if isinstance(node, dict) else node[int(name)] if int(name) < len(node) else None
    named = re.findall(r"\$\{(?:oc\.select:)?([\w.]+)", node) if isinstance(node, str) else []
    return bool(named) and all(_free(".".join([each, *parts]), references) for each in named)


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict) and node:
        return {k: v for name, child in node.items() for k, v in _flat(child, f"{prefix}{name}.").items()}
    if isinstance(node, list) and node:
        return {k: v for i, child in enumerate(node) for k, v in _flat(child, f"{prefix}{i}.").items()}
    return {prefix[:-1]: node}


def check_settings(cfg: DictConfig) -> None:
    """Refuse settings that conflict, and missing packages, before any work.

    Raises:
        SpotError: the message names the keys and the remedy.
    """
    trainer = cfg.trainer
    if trainer.max_epochs != cfg.training.epochs:
        raise SpotError(f"trainer.max_epochs={trainer.max_epochs}: set training.epochs")
    for key, remedy in _REFUSED.items():
        if trainer.get(key):
            raise SpotError(f"trainer.{key}={show(trainer[key])}: {remedy}")
    if cfg.supervision.pseudo_labels and cfg.training.burn_in >= cfg.training.epochs:
        raise SpotError(
            f"training.burn_in={cfg.training.burn_in} leaves no epoch of training.epochs={cfg.training.epochs} for the "
            f"sparse stage; shorten it, or train on key frames alone with supervision=key_frames_only"
        )
    check_logger(cfg.logger)


def check_logger(node: DictConfig | None) -> None:
    """Refuse a logger whose package is missing, or Weights & Biases online without a key."""
    if node is None:
        return
    target = str(node.get("_target_"))
    if target.endswith("TensorBoardLogger"):
        require("tensorboard", "tensorboard", "logger=tensorboard")
    if target.endswith("open_wandb"):
        require("wandb", "wandb", "logger=wandb")
        if node.mode == "online" and not _has_wandb_key():
            raise SpotError(
                "logger.mode=online: no key of Weights & Biases; run wandb login, or set logger.mode=offline"
            )


def _has_wandb_key() -> bool:
    """Return whether wandb finds a key in the environment or in the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0].split(":")[0]
    place = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return netrc.netrc(place).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


_REFUSED = {
    "fast_dev_run": "try a run with experiment=smoke instead",
    "overfit_batches": "train on few videos instead, such as data=synthetic data.videos=2",
    "accumulate_grad_batches": "a step is one batch; set training.labelled and training.unlabelled",
    "gradient_clip_val": "set arch.recipe.clip_norm",
}
"""Options of Lightning's trainer that a run does not support, with the remedy."""
