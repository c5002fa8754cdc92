"""What a test on a benchmark needs beside the tracker: the name of its results, the videos, and their folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from spot.architectures.published import Loaded
from spot.data.video import VideoSet
from spot.results.result_folder import ResultFolder, write_result
from spot.runtime.atomic_files import remove_partial
from spot.runtime.errors import SpotError
from spot.tracking.loading import run_label, weights_digest

SETTINGS_FILE = "tracker.json"


def tracker_name(cfg: DictConfig, checkpoint: Path, loaded: Loaded) -> str:
    """`tracker`, else `<run>_<model>_e<epoch>` for a run's checkpoint, else the architecture's name."""
    if cfg.tracker is not None:
        return str(cfg.tracker)
    if checkpoint.parent.name == "checkpoints" and loaded.epoch is not None:  # also of a run that lost its config.yaml
        run = run_label(cfg.run) if cfg.run else checkpoint.resolve().parent.parent.name
        return "_".join(part for part in (run, loaded.model, f"e{loaded.epoch:03d}") if part)
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
    settings = {
        "arch": cfg.arch.name,
        "tracker": OmegaConf.to_container(cfg.arch.tracker, resolve=True),
        "model": loaded.model,
        "epoch": loaded.epoch,
        "precision": str(cfg.precision),
        "result_format": cfg.benchmark.result_format,
        "weights": weights_digest(checkpoint),
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
