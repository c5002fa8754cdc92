"""Track a benchmark's videos with the processes of a Lightning trainer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as distributed
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch.utils.data import DataLoader, Dataset

from spot.architectures.base import TrackerNetwork
from spot.architectures.tracker import Tracker
from spot.data.video import Video, VideoSet
from spot.results.result_folder import ResultFolder
from spot.runtime.errors import SpotError
from spot.runtime.processes import stop_together
from spot.runtime.wording import counted
from spot.tracking.backends import with_backend
from spot.tracking.frame_progress import FrameProgress
from spot.tracking.runner import Runner
from spot.tracking.single_stream import StreamSpeed, single_stream

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class TrackingStats:
    """Numbers of tracked videos and frames, of unreadable frames, and the seconds. The sum is of parallel processes."""

    videos: int
    frames: int
    corrupt: int
    seconds: float

    def __add__(self, other: TrackingStats) -> TrackingStats:
        counts = (self.videos + other.videos, self.frames + other.frames, self.corrupt + other.corrupt)
        return TrackingStats(*counts, seconds=max(self.seconds, other.seconds))

    def summary(self, videos: int) -> str:
        """Return one line; `videos` is their number in the benchmark."""
        before = f"{videos - self.videos} of {counted(videos, 'video')} finished before"
        if not self.videos:
            return before
        text = f"tracked {counted(self.videos, 'video')}, {counted(self.frames, 'frame')}, {self.frames / self.seconds:.0f} frames/s"
        text += f", {counted(self.corrupt, 'unreadable frame')}" if self.corrupt else ""
        return text + (f" ({before})" if self.videos < videos else "")


class BenchmarkRun(pl.LightningModule):
    """Tracks the videos that have no result yet, and writes each result when the video ends.

    Args:
        network: the trained network.
        tracker: makes the tracker from the network when that is on its device.
        videos: the benchmark.
        results: folder of the result files; existing files are kept.
        batch: videos in lock-step, in each process.
        corrupt_fraction: see `Runner`.
        backend: what runs the network, see `with_backend`; a precision other than float32 takes PyTorch.
        speed: measure the speed on a single stream too, in the first process.
    """

    def __init__(
        self,
        network: TrackerNetwork,
        tracker: Callable[[TrackerNetwork], Tracker],
        videos: VideoSet,
        results: ResultFolder,
        batch: int,
        corrupt_fraction: float,
        backend: str = "auto",
        speed: bool = False,
    ) -> None:
        super().__init__()
        if batch < 1:
            raise SpotError(f"batch={batch}: track at least 1 video at a time")
        self.network = network
        self.videos = videos
        self.results = results
        self.batch = batch
        self.corrupt_fraction = corrupt_fraction
        self.backend = backend
        self.speed = speed
        self.stream: StreamSpeed | None = None
        self._make_tracker = tracker
        self.stats = TrackingStats(0, 0, 0, 0.0)
        self.failure: str | None = None

    def predict_dataloader(self) -> DataLoader:
        """Return one item: the names of this process's videos, possibly none.

        The videos are assigned in turn, longest first, so every process gets about the same number of frames.
        Lightning's own sampler needs at least one video for each process. The first process lists the waiting videos,
        since results may appear while the others look.
        """
        trainer = self.trainer
        waiting = waiting_videos(self.videos, self.results) if trainer.is_global_zero else []
        waiting = trainer.strategy.broadcast(waiting)
        return DataLoader(_Single(waiting[trainer.global_rank :: trainer.world_size]), batch_size=None)

    def predict_step(self, names: Sequence[str]) -> TrackingStats:
        """Track the videos of this process and return the statistics of all processes.

        A process that fails logs the error at once and waits for the others, so that their videos are finished. Then
        `failure` is the first error in every process.
        """
        everyone = _gather(self._track([self.videos[name] for name in names]))
        self.failure = next((failure for _, failure in everyone if failure is not None), None)
        if self.speed and self.trainer.is_global_zero and self.failure is None:
            self.stream = single_stream(self._make_tracker(self._network()), self.videos)
        self.stats = sum((stats for stats, _ in everyone), start=TrackingStats(0, 0, 0, 0.0))
        return self.stats

    def _network(self) -> TrackerNetwork:
        """The network as it runs here: a precision other than float32 takes PyTorch."""
        return with_backend(self.network, "torch" if torch.is_autocast_enabled(self.device.type) else self.backend)

    def _track(self, own: Sequence[Video]) -> tuple[TrackingStats, str | None]:
        """Return the statistics, and the error if tracking stopped early."""
        frames, label = sum(len(video) for video in own), self.results.folder.name
        done, failure = 0, None
        network = self._network() if own else self.network
        with FrameProgress(label, frames, shown=self.trainer.is_global_zero and bool(own)) as progress:
            runner = Runner(
                self._make_tracker(network),
                self.batch,
                supervised=self.results.result_format == "vot",
                corrupt_fraction=self.corrupt_fraction,
                advance=progress.advance,
            )
            try:
                for video, track in runner.run(own):
                    self.results.write(video.name, track)
                    done += 1
            except SpotError as error:
                failure = str(error)
        if failure is not None and self.trainer.world_size > 1:
            log.error("process %d stopped at %d of %d videos: %s", self.global_rank, done, len(own), failure)
        return TrackingStats(done, progress.done, runner.corrupt, progress.seconds), failure


class _Single(Dataset[list[str]]):
    """A data set of one item."""

    def __init__(self, item: list[str]) -> None:
        self._item = item

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> list[str]:
        return self._item


def _gather(value: T) -> list[T]:
    """Return the values of all processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[T] = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def waiting_videos(videos: VideoSet, results: ResultFolder) -> list[str]:
    """Return names of the videos without a result, longest first."""
    lengths = videos.lengths
    order = np.argsort(-lengths, kind="stable")
    return [videos.names[i] for i in order if not results.is_finished(videos.names[i], int(lengths[i]))]


def run_benchmark(
    run: BenchmarkRun, accelerator: str, devices: int | str, num_nodes: int, precision: str
) -> TrackingStats:
    """Track what is waiting on the given devices; see `pytorch_lightning.Trainer` for the arguments.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C, or by a scheduler's SIGTERM or SIGUSR1.
        SpotError: an error stopped a process. The first process raises it; the others exit silently.
    """
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
    # with TF32, cuDNN's default, rounding is a thousand times coarser and boxes would depend on the batch size
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with warnings.catch_warnings(), exact:
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*treespec.*")  # Lightning's own use of torch
        with stop_together(trainer, "results of finished videos are safe; the same command continues"):
            trainer.predict(run, return_predictions=False)
    if run.failure is not None:
        if trainer.is_global_zero:
            raise SpotError(run.failure)
        raise SystemExit(1)
    return run.stats


def several_processes(accelerator: str, devices: int | str, num_nodes: int) -> bool:
    """Return whether these arguments of `pytorch_lightning.Trainer` ask for more than one process."""
    if num_nodes == 1 and devices == "auto":
        return accelerator != "cpu" and torch.cuda.device_count() > 1
    return num_nodes > 1 or devices not in (1, "1")


def _strategy(accelerator: str, devices: int | str, num_nodes: int) -> Strategy | str:
    """Processes wait for the slowest at the end, which takes as long as its videos: no half-hour limit."""
    several = several_processes(accelerator, devices, num_nodes)
    return DDPStrategy(timeout=timedelta(days=7)) if several else "auto"
