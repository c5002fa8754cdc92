"""Choose which frames of the user's own videos to label, before any frame has a box.

The list is a CSV of rows `video,target,frame` (`<paths.labels>/<name>_to_label.csv`), which `spot.label` reads.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from spot.data.images import read_frame
from spot.data.key_frame_sampling import draw_uniform, draw_windows
from spot.data.video import Video, VideoSet
from spot.runtime.atomic_files import replacing
from spot.runtime.csv_cells import cell_text, csv_cell
from spot.runtime.errors import SpotError

Frame = tuple[str, int, int]  # video, target, frame
STRATEGIES = ("windows", "uniform", "diverse")
_CANDIDATES = 400  # frames of a video that "diverse" chooses from
_THUMBNAIL = 16  # pixels a side
_ROUNDS = 50  # of k-means, at most


def list_file(folder: str | Path, name: str) -> Path:
    """Return the file of a data set's list: `<paths.labels>/<name>_to_label.csv`."""
    return Path(folder) / f"{name}_to_label.csv"


def choose_frames(
    videos: VideoSet,
    count: int,
    seed: int = 0,
    strategy: str = "windows",
    targets: int = 1,
    progress: Callable[[Iterable[Video]], Iterable[Video]] = iter,
) -> list[Frame]:
    """Choose `count` frames of each video, the same for each of its targets.

    The choice for a video depends only on `seed` and its name. A frame that is already labelled replaces the nearest
    chosen frame.

    Args:
        videos: the user's videos; their annotation is not used.
        strategy: "windows" (one frame around each of `count` evenly spaced ones: docs/method.md section 2), "uniform"
            (anywhere) or "diverse" (`diverse_frames`; needs no seed).

    Returns:
        (video, target, frame), ascending within each video.

    Raises:
        SpotError: an unknown strategy, `count` or `targets` below 1, or a frame that cannot be read.
    """
    if strategy not in STRATEGIES:
        raise SpotError(
            f"strategy={strategy} is unknown for videos without boxes; choose from: {', '.join(STRATEGIES)}"
        )
    for key, value in (("labels", count), ("targets", targets)):
        if value < 1:
            raise SpotError(f"{key}={value}: give at least 1")
    labels = videos.own_labels
    chosen: list[Frame] = []
    for video in progress(videos):
        every = np.ones(len(video), bool)
        uniform = random.Random(f"{seed}/{video.name}").random
        number = min(count, len(video))
        if strategy == "diverse":
            frames = diverse_frames(video, number).tolist()
        else:
            draw = draw_windows if strategy == "windows" else draw_uniform
            frames = draw(every, number, uniform) or list(range(number))  # a video of a frame or two
        own = None if labels is None else labels.of_video(video.name)
        for target in range(1, targets + 1):
            done = [] if own is None else own.frame[own.target == target].tolist()
            chosen += [(video.name, target, frame) for frame in _without_nearest(sorted(set(frames)), done)]
    return chosen


def _without_nearest(frames: list[int], done: Sequence[int]) -> list[int]:
    """Return the frames without the one nearest to each labelled frame."""
    rest = list(frames)
    for label in done:
        if rest:
            rest.remove(min(rest, key=lambda frame: abs(frame - label)))
    return rest


def diverse_frames(video: Video, count: int) -> np.ndarray:
    """Return (k,) int64 frames that look different: k-means on thumbnails and time, the frame nearest to each centre.

    At most 400 evenly spaced frames are used. The time of a frame has a quarter of the weight of its thumbnail, so that
    the chosen frames of a video that hardly changes are spread evenly.
    """
    candidates = np.unique(np.linspace(0, len(video) - 1, min(len(video), _CANDIDATES)).round().astype(np.int64))
    if count >= len(candidates):
        return candidates
    looks = np.stack([_thumbnail(video.frames.path(int(i))) for i in candidates])
    looks = (looks - looks.mean(0)) / max(float(np.sqrt(looks.var(0).sum())), 1e-6)
    time = candidates / candidates[-1] - 0.5
    features = np.concatenate([looks, 0.5 * (time / time.std())[:, None]], 1)
    return np.unique(candidates[nearest_to_centers(features, count)])


def nearest_to_centers(features: np.ndarray, count: int) -> np.ndarray:
    """Return (k,) int64: for each of `count` clusters of features (n, d) the row nearest to its centre; deterministic.

    This is SciPy's k-means. Its first centre is the row nearest to the mean, each further one the row farthest from all
    centres so far.
    """
    chosen = [int(cdist(features, features.mean(0, keepdims=True))[:, 0].argmin())]
    while len(chosen) < count:
        chosen.append(int(cdist(features, features[chosen]).min(1).argmax()))
    centers, _ = kmeans2(features, features[chosen], iter=_ROUNDS, minit="matrix")
    distances = cdist(features, centers)
    own = distances.argmin(1)
    return np.array([np.where(own == c, distances[:, c], np.inf).argmin() for c in np.unique(own)], np.int64)


def _thumbnail(path: str) -> np.ndarray:
    """Return (768,) float64 colours of an image that is shrunk to 16 x 16 pixels."""
    frame = read_frame(path, "fast", crop_pixels=8 * _THUMBNAIL, out_pixels=_THUMBNAIL)
    small = cv2.resize(frame.pixels, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small.astype(np.float64).ravel()


def write_frames(file: str | Path, frames: Sequence[Frame]) -> None:
    """Write a list of frames to label atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("video", "target", "frame"), *((csv_cell(video), *rest) for video, *rest in frames)])
    with replacing(file, "choose another output=") as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")


def read_frames_to_label(file: str | Path, videos: VideoSet) -> list[Frame]:
    """Read a list of frames to label. Raise SpotError for a broken list, an unknown video or frame."""
    try:
        rows = csv.DictReader(io.StringIO(Path(file).read_text(encoding="utf-8-sig"), newline=""))
        if not {"video", "frame"} <= set(rows.fieldnames or ()):
            raise ValueError("no columns video and frame")
        frames = [(cell_text(row["video"]), int(row.get("target") or 1), int(row["frame"])) for row in rows]
    except OSError as error:
        raise SpotError(f"{file}: {error.strerror}; write it with python -m spot.sample") from None
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise SpotError(f"{file}: not a list of video,target,frame ({error}); write it with spot.sample") from None
    for name, _, frame in frames:
        if not 0 <= frame < len(videos.frames[videos.index_of(name)]):
            raise SpotError(f"{file}: {name} has no frame {frame}; write the list again with python -m spot.sample")
    return frames
