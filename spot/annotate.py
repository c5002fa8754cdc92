"""python -m spot.annotate run=mine: dense boxes with scores for all frames of one's own videos."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from spot.runtime.command import command
from spot.runtime.command_line import as_typed
from spot.runtime.composing import given_options
from spot.runtime.errors import SpotError
from spot.runtime.locks import locked
from spot.runtime.wording import counted

if TYPE_CHECKING:
    from spot.annotation.passes import Pass, Tracked
    from spot.data.box_table import BoxTable
    from spot.data.video import VideoSet
    from spot.tracking.loading import LoadedTracker


WRITES = ("export", "review", "overlay")  # options that only say what is written


def annotate(cfg: DictConfig) -> Path:
    """Make dense boxes from the labels of all videos; a stopped call continues with the next target.

    Returns:
        The CSV file: `video,target,frame,x,y,w,h,score,is_gt,absent`, a row a frame and target.
    """
    if cfg.suggest is not None and cfg.suggest < 1:
        raise SpotError(f"suggest={cfg.suggest}: give the number of frames to label next")
    if cfg.batch < 1:
        raise SpotError(f"batch={cfg.batch}: give at least 1")
    from spot.annotation.project import open_project
    from spot.tracking.loading import open_tracker

    explicit = given_options()
    loaded = open_tracker(cfg, explicit)
    videos, labels = open_project(cfg, loaded.run, explicit)
    folder = Path(cfg.output) / loaded.name
    with locked(folder, f"the annotations in {folder}"):
        return _annotate(cfg, loaded, videos, labels, folder)


def _annotate(cfg: DictConfig, loaded: LoadedTracker, videos: VideoSet, labels: BoxTable, folder: Path) -> Path:
    from spot.annotation.dense import collect_candidates, dense_boxes
    from spot.annotation.mirrored import track_with_mirror
    from spot.annotation.passes import track_passes
    from spot.annotation.project import relay_labels
    from spot.tracking.frame_progress import FrameProgress

    relay = relay_labels(loaded.run, labels) if loaded.run and cfg.state else None
    mirror = loaded.tracker.mirror if cfg.mirror is None else cfg.mirror

    def track(passes: Sequence[Pass]) -> Iterator[Tracked]:
        frames = sum(1 + len(each.indices) for each in passes)  # the labelled frame is read too
        with FrameProgress("tracking both ways", 2 * frames if mirror else frames) as progress:
            follow = track_with_mirror if mirror else track_passes
            yield from follow(loaded.tracker, passes, cfg.batch, progress.advance)

    fingerprint = f"{loaded.fingerprint} mirrored" if mirror else loaded.fingerprint
    collected = collect_candidates(videos, labels, track, folder / "parts", fingerprint, relay)
    dense, calibration = dense_boxes(collected)
    file = folder / "annotations.csv"
    dense.write_csv(file, dense=True)
    unlabelled = dense.score[~dense.is_gt]
    mean = f", mean score {unlabelled.mean():.2f}" if len(unlabelled) else ""
    print(
        f"wrote {file}: {len(dense)} rows of {counted(len(collected), 'target')} in {counted(len(videos), 'video')}{mean}"
    )
    if cfg.suggest is not None:
        _suggest(cfg, videos, dense)
        return file
    for name in [cfg.export] if isinstance(cfg.export, str) else cfg.export or ():
        from spot.annotation.exchange import export_boxes, video_infos

        written = export_boxes(name, dense, video_infos(videos), folder / "export" / name)
        print(f"export={name}: {counted(len(written), 'file')} in {folder / 'export' / name}")
    if cfg.review:
        from spot.annotation.review import write_review

        page = write_review(
            folder / "review", videos, dense, calibration, lambda v, f: _label_command(cfg, videos, v, f)
        )
        print(f"review page: {page}")
    if cfg.overlay:
        from spot.annotation.overlay import write_overlays

        write_overlays(folder / "overlays", videos, dense)
        print(f"overlay videos: {folder / 'overlays'}")
    again = [as_typed(word) for word in given_options() if word.split("=")[0] not in WRITES]
    words = shlex.join(["python", "-m", "spot.annotate", *again, "suggest=20"])
    print(f"next: {words}   (which frames to label next)")
    return file


def _suggest(cfg: DictConfig, videos: VideoSet, dense: BoxTable) -> None:
    from spot.annotation.suggestion import suggest_frames
    from spot.data.frames_to_label import list_file, write_frames

    frames = suggest_frames(dense, cfg.suggest)
    file = list_file(cfg.data.train[0].get("labels") or cfg.paths.labels, videos.name)
    write_frames(file, frames)
    names = {video for video, *_ in frames}
    print(f"wrote {file}: {counted(len(frames), 'frame')} to label next in {counted(len(names), 'video')}")
    print(f"next: {_label_command(cfg, videos)}")


def _label_command(cfg: DictConfig, videos: VideoSet, video: str | None = None, frame: int = 0) -> str:
    """Return the command that opens the label page, at a frame if one is given."""
    words = ["python", "-m", "spot.label", "data=videos", f"paths.videos={cfg.data.train[0].get('root')}"]
    if video is not None:
        words.append(f"at={video}/{frame}")
    return shlex.join(words)


@command("annotate")
def main(cfg: DictConfig) -> None:
    annotate(cfg)


if __name__ == "__main__":
    main()
