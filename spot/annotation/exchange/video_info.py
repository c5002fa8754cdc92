"""What the exchange formats know of the videos: frames, sizes, names of images, times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spot.data.datasets.videos import frame_sizes
from spot.data.extraction import Manifest
from spot.data.video import Frames, VideoSet


@dataclass(frozen=True)
class VideoInfo:
    """The frames of one video.

    Attributes:
        frames: their number.
        width, height: size in pixels.
        image: file name of a frame, `clip/000012.jpg`: unique over all videos and always the same.
        time: presentation time of a frame in seconds; frame / 25 where it is not known.
    """

    frames: int
    width: int
    height: int
    image: Callable[[int], str]
    time: Callable[[int], float]


Videos = Mapping[str, VideoInfo]


def video_infos(videos: VideoSet) -> dict[str, VideoInfo]:
    """Describe a set of videos for the exchange formats."""
    infos = {}
    for name, size in frame_sizes(videos).items():
        frames = videos[name].frames
        manifest = Manifest.read(Path(videos.extracted) / name) if videos.extracted else None
        times = dict(enumerate(manifest.times or ())) if manifest else {}

        def image(index: int, name: str = name, frames: Frames = frames) -> str:
            return f"{name}/{frames.name(index)}"

        def time(index: int, times: dict[int, float | None] = times) -> float:
            known = times.get(index)
            return index / 25 if known is None else known

        infos[name] = VideoInfo(*size, image, time)
    return infos
