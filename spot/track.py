"""python -m spot.track run=mine video=new.mp4 box=[412,180,60,44]: track a target through a video."""

from __future__ import annotations

import contextlib
from itertools import chain, islice
from pathlib import Path

from omegaconf import DictConfig

from spot.runtime.command import command
from spot.runtime.composing import given_options
from spot.runtime.errors import SpotError
from spot.runtime.wording import counted


def track(cfg: DictConfig) -> Path:
    """Track the target of `box` through `video`.

    Returns:
        The CSV file: `video,target,frame,x,y,w,h,score,is_gt,absent`; the score is the tracker's own.
    """
    if cfg.video is None or cfg.box is None or len(cfg.box) != 4:
        raise SpotError("give video=FILE and box=[x,y,w,h]")
    if cfg.start < 0:
        raise SpotError(f"start={cfg.start}: frames are counted from 0")
    import numpy as np

    from spot.annotation.overlay import draw_box, video_writer
    from spot.data.box_table import BoxTable
    from spot.tracking.frame_progress import FrameProgress
    from spot.tracking.loading import open_tracker
    from spot.tracking.video_tracker import VideoTracker, read_video

    video = Path(cfg.video)
    if not video.exists():
        raise SpotError(f"video={video}: no such file or folder; check the path")
    explicit = given_options()
    tracker = VideoTracker(open_tracker(cfg, explicit).tracker)
    frames = islice(read_video(video), cfg.start, None)
    first = next(frames, None)
    if first is None:
        raise SpotError(f"{video}: has no frame {cfg.start}; choose a smaller start=")
    box = np.array(list(cfg.box), np.float64)
    tracker.start(first, box)
    boxes, scores = [box], [1.0]
    file = Path(cfg.output) / f"{video.stem}.csv"
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(FrameProgress(video.name, 0))
        size = (first.shape[1], first.shape[0])
        writer = (
            stack.enter_context(video_writer(file.with_suffix(".mp4"), size, _rate(video))) if cfg.overlay else None
        )
        for frame in chain([first], frames):
            if frame is not first:
                found, score = tracker.step(frame)
                boxes.append(found)
                scores.append(float(score))
            if writer is not None:
                picture = frame.copy()
                draw_box(picture, boxes[-1], 1, scores[-1], is_gt=frame is first)
                writer.write(picture)
            progress.advance(1)
    count = len(boxes)
    human = np.arange(count) == 0
    numbers = np.arange(cfg.start, cfg.start + count)
    BoxTable.build([video.stem] * count, [1] * count, numbers, np.array(boxes), scores, human).write_csv(
        file, dense=True
    )
    print(
        f"{counted(count, 'frame')}, mean score {np.mean(scores):.2f} -> {file}"
        + (f", {file.with_suffix('.mp4')}" if cfg.overlay else "")
    )
    return file


def _rate(video: Path) -> float:
    """Return frames a second of a video file; 25 for a folder of images."""
    if video.is_dir():
        return 25.0
    import cv2

    opened = cv2.VideoCapture(str(video))
    rate = float(opened.get(cv2.CAP_PROP_FPS) or 0)
    opened.release()
    return rate if 1 <= rate <= 240 else 25.0


@command("track")
def main(cfg: DictConfig) -> None:
    track(cfg)


if __name__ == "__main__":
    main()
