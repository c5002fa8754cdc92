"""Callback: track held-out videos during training, and log success and average overlap."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from spot.architectures.base import TrackerNetwork
from spot.architectures.tracker import Tracker
from spot.data.annotations import drawable
from spot.data.datasets import folder
from spot.data.video import Video
from spot.evaluation.metrics import OnePassMetric
from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.runtime.yaml_files import read_yaml
from spot.tracking.runner import Runner
from spot.training.data_module import burn_in_of

BATCH = 8  # videos in lock-step


class Validation(Callback):
    """Every `every` epochs, tracks videos with the teacher (the student in burn-in and without a teacher).

    The videos are divided among the processes; `val/success` and `val/AO` (fractions of 1) are over all videos. Tracking
    uses a copy of the network and no random numbers: the weights are the same with and without validation.

    Args:
        benchmark: name of a benchmark (conf/benchmark), or a folder of sequences; None for no validation.
        paths: the configuration's `paths`, with the folders of benchmarks.
        tracker: makes the architecture's tracker from a network.
        every: epochs between validations; the last epoch is always validated.
        videos: number of videos, evenly spaced; None for all.

    Raises:
        SpotError: no benchmark or folder has this name, or none of its videos has a box.
    """

    def __init__(
        self,
        benchmark: str | None,
        paths: DictConfig | dict[str, Any],
        tracker: Callable[[TrackerNetwork], Tracker],
        every: int = 5,
        videos: int | None = None,
    ) -> None:
        self.tracker = tracker
        self.every = every
        self.videos: list[Video] = []
        self.protocol = "pytracking"
        if benchmark is not None:
            found, self.protocol = load_benchmark(str(benchmark), paths)
            usable = [video for video in found if drawable(video.boxes).any()]
            if not usable:
                raise SpotError(f"validation={benchmark}: no video has a box")
            self.videos = evenly(usable, videos or len(usable))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        epoch = trainer.current_epoch + 1
        if not self.videos or (epoch % self.every and epoch != trainer.max_epochs):
            return
        in_burn_in = trainer.current_epoch < burn_in_of(trainer)
        network = pl_module.student if pl_module.teacher is None or in_burn_in else pl_module.teacher.network
        metric = OnePassMetric(self.protocol).to(pl_module.device)
        mine = self.videos[trainer.global_rank :: trainer.world_size]
        for boxes, truth, visible in self.track(network, mine):
            metric.update(torch.from_numpy(boxes), torch.from_numpy(truth), torch.from_numpy(visible))
        found = metric.compute()  # sums over all processes
        pl_module.log("val/success", found["success"].float(), on_step=False, on_epoch=True, rank_zero_only=True)
        pl_module.log("val/AO", found["ao"].float(), on_step=False, on_epoch=True, rank_zero_only=True)

    def track(
        self, network: TrackerNetwork, videos: Sequence[Video]
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Track videos in lock-step.

        Returns:
            For each video, from its first box on: predicted boxes and annotated boxes, (n, 4) float64 xywh in image
            pixels, and (n,) bool, True if the target is visible.
        """
        if not videos:
            return []
        own = copy.deepcopy(network).eval()  # a tracker may prepare its network for inference
        results = []
        for video, track in Runner(self.tracker(own), batch=min(BATCH, len(videos))).run(videos):
            first = int(drawable(video.boxes).argmax())
            truth = video.boxes[first:].astype(np.float64)
            results.append((track.boxes[first:].astype(np.float64), truth, video.visible[first:].copy()))
        return results


def load_benchmark(name: str, paths: DictConfig | dict[str, Any]) -> tuple[Sequence[Video], str]:
    """Open the videos of a benchmark or of a folder of sequences; return them and the name of the protocol."""
    file = config_folder() / "benchmark" / f"{name}.yaml"
    if file.is_file():
        cfg = OmegaConf.merge({"paths": paths}, read_yaml(file))
        return list(instantiate(cfg.videos)), str(cfg.protocol)
    if Path(name).is_dir():
        return list(folder.load(name)), "pytracking"
    raise SpotError(f"validation={name}: neither a benchmark (see conf/benchmark) nor a folder of sequences")


def evenly(videos: Sequence[Video], count: int) -> list[Video]:
    """Choose `count` of the videos, evenly spaced.

    >>> evenly(list("abcdef"), 3)
    ['a', 'c', 'e']
    """
    count = min(count, len(videos))
    return [videos[i * len(videos) // count] for i in range(count)]
