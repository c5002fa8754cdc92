"""Load a tracker from a run, a checkpoint or start weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from spot.architectures.base import TrackerNetwork
from spot.architectures.checkpoint import SAFETENSORS, find_checkpoint, load_network, safetensors_config
from spot.architectures.hub import local_path
from spot.architectures.published import Loaded
from spot.architectures.start_weights import DEFAULT, load_initial
from spot.architectures.tracker import Tracker
from spot.runtime.composing import composed
from spot.runtime.errors import SpotError
from spot.runtime.trusted_targets import conf_folders, refuse_foreign_targets
from spot.runtime.yaml_files import read_yaml
from spot.tracking.backends import with_backend


@dataclass(frozen=True)
class LoadedTracker:
    """A tracker and its source.

    Attributes:
        tracker: on its device, in evaluation mode.
        fingerprint: 32 hexadecimal digits that change with the weights and the tracker's settings.
        name: of the run, or of the file without its ending.
        run: the run's folder; None for other files.
    """

    tracker: Tracker
    fingerprint: str
    name: str
    run: Path | None


def open_tracker(cfg: DictConfig, explicit: Sequence[str] = ()) -> LoadedTracker:
    """Load the tracker that a command's options name.

    Args:
        cfg: has `run` and `epoch`, or `checkpoint` (a file or a run's folder), or `initial`; `model`, `arch`,
            `accelerator`, `backend` and `paths`. A run's own architecture settings hold.
        explicit: `key=value` options of the command line, which win over a run's settings.

    Raises:
        SpotError: not exactly one of them is given; the file does not exist or belongs to another architecture.
    """
    given = [key for key in ("run", "checkpoint", "initial") if cfg.get(key) is not None]
    if len(given) != 1:
        raise SpotError("give one of run=NAME, checkpoint=<file or run's folder> and initial= to track with")
    device = choose_device(cfg.accelerator)
    if given == ["initial"]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # parts without loaded weights are the same in every call
            network = instantiate(cfg.arch.network)
        load_initial(network, cfg.initial, cfg.arch.name)
        source, run = str(cfg.initial), None
        name = cfg.arch.name if cfg.initial == DEFAULT else Path(source).stem
        digest = hashlib.blake2b(digest_size=16)
        for key, tensor in sorted(network.state_dict().items()):
            digest.update(key.encode() + tensor.detach().cpu().numpy().tobytes())
        weights = digest.hexdigest()
    else:
        checkpoint = locate_checkpoint(cfg)
        run = run_of(checkpoint)
        with open_dict(cfg):
            cfg.arch = recorded_arch(cfg, checkpoint, explicit)
        network, _ = build_network(cfg, checkpoint)
        name = run_label(cfg.run) if cfg.run else (run.name if run else checkpoint.stem)
        weights = weights_digest(checkpoint)
    settings = json.dumps(OmegaConf.to_container(cfg.arch.tracker, resolve=True), sort_keys=True)
    tracker = instantiate(cfg.arch.tracker)(with_backend(network.to(device), cfg.get("backend", "torch")))
    fingerprint = hashlib.blake2b(f"{weights} {settings}".encode(), digest_size=16).hexdigest()
    return LoadedTracker(tracker, fingerprint, name, run)


def load_tracker(source: str | Path, arch: str | None = None, **options: str | int | None) -> LoadedTracker:
    """Load a tracker from Python; see `spot.load`.

    Args:
        source: a run's folder, a checkpoint or start weights; a file on the hub, `hf:OWNER/REPOSITORY/FILE`; "default":
            the start weights that come with the project.
        arch: name of the architecture, where `source` is not of a run.
        options: `model`, `epoch`, `accelerator` and `backend`, as of `spot.track`.
    """
    kind = "initial"
    if str(source) != DEFAULT:
        source = local_path(source)
        is_start = source.suffix == SAFETENSORS and safetensors_config(source) is None
        kind = "initial" if is_start else "checkpoint"
    words = [f"arch={arch}"] if arch else []
    cfg = composed("track", words)
    for key, value in {kind: str(source), **options}.items():
        OmegaConf.update(cfg, key, value)
    return open_tracker(cfg, words)


def choose_device(accelerator: str) -> torch.device:
    """auto, cpu, gpu or mps as a device; auto takes a CUDA GPU where there is one. Raise SpotError if it is missing."""
    there = {"gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True, "auto": True}
    if not there.get(accelerator, False):
        raise SpotError(f"accelerator={accelerator}: PyTorch finds no such device; give accelerator=auto or cpu")
    if accelerator == "mps":
        return torch.device("mps")
    return torch.device("cuda" if accelerator != "cpu" and there["gpu"] else "cpu")


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


def run_of(checkpoint: Path) -> Path | None:
    """Return the run's folder that a checkpoint belongs to; None for other files."""
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == "checkpoints" and (folder.parent / "config.yaml").is_file() else None


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
    if (own := safetensors_config(checkpoint)) is not None:
        record, arch = checkpoint, OmegaConf.create(own)
    elif (run := run_of(checkpoint)) is not None:
        record = run / "config.yaml"
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


def weights_digest(checkpoint: Path) -> str:
    """Return 32 hexadecimal digits of a checkpoint's bytes."""
    with open(checkpoint, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
