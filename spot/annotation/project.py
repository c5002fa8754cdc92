"""Open the videos, labels and pseudo labels for dense boxes, as a command's options name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from spot.annotation.dense import Relay
from spot.data.box_table import BoxTable
from spot.data.training_sets import key_frames_of
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError
from spot.runtime.trusted_targets import conf_folders, refuse_foreign_targets
from spot.runtime.yaml_files import read_yaml
from spot.state.store import StateStore

_FOR_RESULTS = ("paths.outputs", "paths.results", "paths.reports", "paths.cache")  # these say nothing about the videos


def open_project(cfg: DictConfig, run: Path | None, explicit: Sequence[str]) -> tuple[VideoSet, BoxTable]:
    """Open the videos and their labels.

    Args:
        cfg: has `data`, `paths`, `labels` and `seed`; its `data` becomes the run's where that is taken.
        run: a run's folder, whose own videos are taken, but for what is given explicitly.
        explicit: `key=value` options of the command line.

    Raises:
        SpotError: there are several sets, or no labels.
    """
    data, labels, seed = cfg.data, cfg.labels, cfg.seed
    keys = [word.split("=", 1)[0].lstrip("+~") for word in explicit]
    names_videos = any(k == "data" or (k.startswith(("data.", "paths.")) and k not in _FOR_RESULTS) for k in keys)
    record = run / "config.yaml" if run else None
    if record is not None and record.is_file() and not names_videos:
        recorded = read_yaml(record)
        if missing := [key for key in ("data", "labels", "seed") if key not in recorded]:
            raise SpotError(f"{record}: has no {missing[0]}; restore it, or name the videos by data=")
        refuse_foreign_targets(recorded.data, cfg.data, record, "data", conf_folders())
        data = recorded.data
        labels = labels if "labels" in keys else recorded.labels
        seed = seed if "seed" in keys else recorded.seed
    if data is None or len(data.train) != 1:
        raise SpotError("dense boxes are made for one set of videos; give data=videos paths.videos=, or data=folder")
    with open_dict(cfg):
        cfg.data = data  # what is said to the user names these videos
    videos = instantiate(data.train[0])
    return videos, labels_of(videos, labels, seed, cfg.paths.labels, (data.get("key_frames") or [None])[0])


def labels_of(videos: VideoSet, count: int, seed: int, folder: str, file: str | None = None) -> BoxTable:
    """Return the labels of a set: drawn by its user, or the key frames that training takes of an annotated set."""
    if videos.own_labels is not None and file is None:
        if not len(videos.own_labels):
            raise SpotError(f"{videos.name}: no box is drawn yet; draw some with python -m spot.label")
        return videos.own_labels
    key_frames = key_frames_of(videos, count, folder, seed, file)
    return BoxTable.from_rows(
        (name, number, int(frame), box.tolist())
        for name, targets in key_frames.targets.items()
        for number, target in enumerate(targets, 1)
        for frame, box in zip(target.ids, target.boxes, strict=True)
    )


def relay_labels(run: Path, labels: BoxTable) -> Relay | None:
    """Return the pseudo labels of a run's sampler state.

    Returns:
        A function from video and target to frames (m,), boxes (m, 4) and confidences (m,); None where the run kept none.
        Key frames are left out. A target is known again by its key frames, which must be among the labels.
    """
    folder = run / "sampler_state"
    if not StateStore.exists(folder):
        return None
    state = StateStore.open(folder).at(float("inf"))

    def relay(video: str, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = labels.take((labels.video == video) & (labels.target == target))
        known = state.find_target(video, dict(zip(rows.frame.tolist(), rows.box, strict=True)))
        if known is None:
            return np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        extra = ~np.isin(known.ids, rows.frame)
        return known.ids[extra], known.boxes[extra], known.confidences[extra]

    return relay
