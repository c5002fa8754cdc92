"""A benchmark's videos, shared out over the processes of a Lightning trainer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch.utils.data import DataLoader, Dataset

from spot.data.video import VideoSet
from spot.models.prediction import TrackerNetwork
from spot.tracking.progress import FrameProgress
from spot.tracking.results import ResultFolder
from spot.tracking.runner import Runner
from spot.tracking.tracker import Tracker


@dataclass(frozen=True)
class Tally:
    """What a run did, over all processes: videos and frames tracked, unreadable frames, seconds of the slowest."""

    videos: int
    frames: int
    corrupt: int
    seconds: float

    def summary(self, videos: int) -> str:
        """One line; `videos` is their number in the benchmark."""
        before = f"{videos - self.videos} of {videos} videos were finished"
        if not self.videos:
            return before
        text = f"tracked {self.videos} videos, {self.frames} frames, {self.frames / self.seconds:.0f} frames/s"
        text += f", {self.corrupt} frames unreadable" if self.corrupt else ""
        return text + (f" ({before})" if self.videos < videos else "")


class BenchmarkRun(pl.LightningModule):
    """Tracks the videos that have no result yet and writes each result as the video ends.

    Args:
        network: the trained network.
        tracker: makes the tracker from the network, once that is on its device.
        videos: the benchmark.
        results: where result files go; those that are there are kept.
        batch: videos in lock-step, in each process.
        corrupt_share: see `Runner`.
    """

    def __init__(
        self,
        network: TrackerNetwork,
        tracker: Callable[[TrackerNetwork], Tracker],
        videos: VideoSet,
        results: ResultFolder,
        batch: int,
        corrupt_share: float,
    ) -> None:
        super().__init__()
        self.network = network
        self.videos = videos
        self.results = results
        self.batch = batch
        self.corrupt_share = corrupt_share
        self._make_tracker = tracker
        self.tally = Tally(0, 0, 0, 0.0)

    def predict_dataloader(self) -> DataLoader:
        """One item: the names of this process's share, which may be none.

        Dealing out by turns, longest first, gives every process about as many frames. Lightning's own sampler
        would need at least a video for each process, and a batch of fixed videos would end with its longest.
        The first process looks what is waiting, as results may appear while the others look.
        """
        trainer = self.trainer
        waiting = waiting_videos(self.videos, self.results) if trainer.is_global_zero else []
        waiting = trainer.strategy.broadcast(waiting)
        return DataLoader(_Single(waiting[trainer.global_rank :: trainer.world_size]), batch_size=None)

    def predict_step(self, names: Sequence[str]) -> Tally:
        """Track the share of this process; tells what all have done."""
        share = [self.videos[name] for name in names]
        frames = sum(len(video) for video in share)
        label = self.results.folder.name
        with FrameProgress(label, frames, shown=self.trainer.is_global_zero and bool(share)) as progress:
            runner = Runner(
                self._make_tracker(self.network),
                self.batch,
                supervised=self.results.result_format == "vot",
                corrupt_share=self.corrupt_share,
                advance=progress.advance,
            )
            for video, track in runner.run(share):
                self.results.write(video.name, track)
            seconds = frames / progress.rate if frames else 0.0
        self.tally = self._total(len(share), frames, runner.corrupt, seconds)
        return self.tally

    def _total(self, videos: int, frames: int, corrupt: int, seconds: float) -> Tally:
        mine = torch.tensor([videos, frames, corrupt, seconds], dtype=torch.float64, device=self.device)
        gathered = self.all_gather(mine)
        assert isinstance(gathered, torch.Tensor)
        everyone = gathered.reshape(-1, 4).cpu()
        videos, frames, corrupt = everyone[:, :3].sum(0).long().tolist()
        return Tally(videos, frames, corrupt, everyone[:, 3].max().item())


class _Single(Dataset[list[str]]):
    """A data set of one item."""

    def __init__(self, item: list[str]) -> None:
        self._item = item

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> list[str]:
        return self._item


def waiting_videos(videos: VideoSet, results: ResultFolder) -> list[str]:
    """Names of the videos without a result, longest first."""
    lengths = videos.lengths
    order = np.argsort(-lengths, kind="stable")
    return [videos.names[i] for i in order if not results.is_finished(videos.names[i], int(lengths[i]))]


def run_benchmark(run: BenchmarkRun, accelerator: str, devices: int | str, num_nodes: int, precision: str) -> Tally:
    """Track what is waiting on the given devices; see `pytorch_lightning.Trainer` for the arguments."""
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        precision=precision,  # type: ignore[arg-type]
        strategy=_strategy(accelerator, devices, num_nodes),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.predict(run, return_predictions=False)
    return run.tally


def _strategy(accelerator: str, devices: int | str, num_nodes: int) -> Strategy | str:
    """Processes wait for the slowest at the end, which takes as long as its videos: no half-hour limit."""
    several = num_nodes > 1 or devices not in (1, "1", "auto")
    several = several or (devices == "auto" and accelerator != "cpu" and torch.cuda.device_count() > 1)
    return DDPStrategy(timeout=timedelta(days=7)) if several else "auto"
