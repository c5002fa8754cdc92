"""Make the objects of a test from a configuration."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from spot.architectures.base import TrackerNetwork
from spot.architectures.checkpoint import find_checkpoint, load_network, safetensors_config
from spot.architectures.hub import local_path
from spot.architectures.published import Loaded
from spot.data.video import VideoSet
from spot.results.result_folder import ResultFolder, write_result
from spot.runtime.atomic_files import remove_partial
from spot.runtime.errors import SpotError
from spot.runtime.trusted_targets import conf_folders, refuse_foreign_targets
from spot.runtime.yaml_files import read_yaml

SETTINGS_FILE = "tracker.json"


def locate_checkpoint(cfg: DictConfig) -> Path:
    """Return the checkpoint file that `checkpoint`, or `run` and `epoch`, name. Raise SpotError if it does not exist."""
    if (cfg.checkpoint is None) == (cfg.run is None):
        raise SpotError("give either checkpoint=<file or run's folder> or run=<name>")
    place = local_path(cfg.checkpoint) if cfg.run is None else Path(cfg.paths.outputs) / cfg.run
    if place.is_dir() or cfg.run is not None:
        return find_checkpoint(place, cfg.epoch)
    if cfg.epoch is not None:
        raise SpotError(f"epoch={cfg.epoch} chooses among a run's checkpoints; give run= instead of a file")
    return place


def run_label(run: str) -> str:
    """Return a run's name for use in a file name: the name of a sweep's job has a slash."""
    return run.strip("/").replace("/", "_")


def recorded_arch(cfg: DictConfig, checkpoint: Path, explicit: Sequence[str] = ()) -> DictConfig:
    """Return `cfg.arch` with the settings of the checkpoint's run; explicitly given settings take precedence.

    Args:
        cfg: of a test.
        checkpoint: a file; without a run's config.yaml above it, or settings inside it (safetensors), `cfg.arch` stays.
        explicit: the `key=value` options of the command line.

    Raises:
        SpotError: the run's config.yaml is damaged, or names classes that are no part of SPOT.
    """
    record = checkpoint.resolve().parent.parent / "config.yaml"
    if (own := safetensors_config(checkpoint)) is not None:
        record, arch = checkpoint, OmegaConf.create(own)
    elif checkpoint.parent.name == "checkpoints" and record.is_file():
        arch = read_yaml(record).get("arch")
    else:
        return cfg.arch
    if not isinstance(arch, DictConfig) or "network" not in arch:
        raise SpotError(f"{record}: has no settings of an architecture; give checkpoint= another file, or restore it")
    refuse_foreign_targets(arch, cfg.arch, record, conf=conf_folders())
    keys = [word.split("=", 1)[0].lstrip("+~") for word in explicit]
    if any(key == "arch" for key in keys) and cfg.arch.name != arch.name:
        return cfg.arch
    for key in keys:
        place = key.rsplit("@", 1)[-1]  # of a group such as backbone@arch.network.backbone
        if place.startswith("arch."):
            value = OmegaConf.select(cfg, place)
            OmegaConf.update(arch, place.removeprefix("arch."), value, merge=False, force_add=True)
    return arch


def build_network(cfg: DictConfig, checkpoint: Path) -> tuple[TrackerNetwork, Loaded]:
    """Return the architecture with the checkpoint's weights."""
    network = untrained_network(cfg)
    return network, load_network(checkpoint, network, cfg.model, cfg.arch.name)


def untrained_network(cfg: DictConfig) -> TrackerNetwork:
    """Return the architecture with random weights; no backbone weights are loaded, since the checkpoint has them."""
    # the network's part alone: the recipe's refers to settings of training
    network = OmegaConf.to_container(cfg.arch.network, resolve=True)
    assert isinstance(network, dict)
    backbone: dict[str, Any] = network.get("backbone", {})
    if "weights" in backbone:
        backbone["weights"] = "none"
    return instantiate(network)


def tracker_name(cfg: DictConfig, checkpoint: Path, loaded: Loaded) -> str:
    """`tracker`, else `<run>_<model>_e<epoch>` for a run's checkpoint, else the architecture's name."""
    if cfg.tracker is not None:
        return str(cfg.tracker)
    if checkpoint.parent.name == "checkpoints" and loaded.epoch is not None:
        run = run_label(cfg.run) if cfg.run else checkpoint.resolve().parent.parent.name
        epoch = None if loaded.epoch is None else f"e{loaded.epoch:03d}"
        return "_".join(part for part in (run, loaded.model, epoch) if part)
    return cfg.arch.name


def select_videos(videos: VideoSet, choice: int | str | ListConfig | None) -> VideoSet:
    """Return the first `choice` videos, or the videos of these names. Raise SpotError for an unknown name."""
    if choice is None:
        return videos
    if isinstance(choice, int):
        if choice < 1:
            raise SpotError(f"videos={choice}: give a number of at least 1, a list of names, or leave it out")
        return videos[:choice]
    return videos.subset([choice] if isinstance(choice, str) else list(choice))


@rank_zero_only
def check_results_folder(results: ResultFolder, cfg: DictConfig, checkpoint: Path, loaded: Loaded) -> None:
    """Note the checkpoint of the results in the folder, and refuse to mix them with results of another one.

    With `overwrite` the folder is emptied first. Called by the first process only.

    Raises:
        SpotError: the folder has other results.
    """
    with open(checkpoint, "rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    settings = {
        "arch": cfg.arch.name,
        "tracker": OmegaConf.to_container(cfg.arch.tracker, resolve=True),
        "model": loaded.model,
        "epoch": loaded.epoch,
        "precision": str(cfg.precision),
        "result_format": cfg.benchmark.result_format,
        "weights": digest,
    }
    note = results.folder / SETTINGS_FILE
    remove_partial(results.folder)  # of a test that was killed, perhaps before it had written anything whole
    if results.folder.is_dir() and any(results.folder.iterdir()):
        try:
            found = json.loads(note.read_text())
            if not isinstance(found, dict):
                raise ValueError
        except (OSError, ValueError, RecursionError):
            raise SpotError(
                f"{results.folder} holds results from elsewhere ({note.name} is missing or damaged); "
                "choose another tracker=, or remove the folder"
            ) from None
        if cfg.overwrite:
            shutil.rmtree(results.folder)
        elif found != settings:
            differing = ", ".join(key for key in settings if found.get(key) != settings[key])
            raise SpotError(
                f"{results.folder} holds results of other settings ({differing}); "
                "choose another tracker=, or overwrite=true"
            )
    write_result(note, json.dumps(settings, indent=1) + "\n")
