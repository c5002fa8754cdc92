"""A trained tracker as Python code uses it: one target after another, frame by frame."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from spot.architectures.tracker import Tracker, TrackState
from spot.data.annotations import drawable
from spot.data.boxes import touch_image
from spot.data.folders import list_frames
from spot.data.images import read_frame
from spot.data.video_files import BrokenTail, decode_video
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)


class VideoTracker:
    """Tracks targets through a video. Make one with `spot.load`.

    Frames are (H, W, 3) uint8 RGB arrays. Boxes are x, y, w, h in pixels of the frame, from its top-left corner.

    Examples:
        A bright square moves by two pixels a frame; the network here has not learnt anything yet.

        >>> import numpy as np, spot
        >>> frames = np.full((5, 120, 160, 3), 60, np.uint8)
        >>> for i, frame in enumerate(frames):
        ...     frame[40:70, 30 + 2 * i : 60 + 2 * i] = 220
        >>> tracker = spot.load("default", arch="ocean_tiny")
        >>> tracker.start(frames[0], [30, 40, 30, 30])
        >>> box, score = tracker.step(frames[1])
        >>> box.shape, 0 <= score <= 1
        ((4,), True)
        >>> [box.shape for box, score in tracker.track(frames, [30, 40, 30, 30])]
        [(4,), (4,), (4,), (4,), (4,)]
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._state: TrackState | None = None
        self._single = True

    def start(self, frame: np.ndarray, box: np.ndarray | list) -> None:
        """Begin with the target in a frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            box: (4,) of one target, or (B, 4) of B targets, which are tracked together.

        Raises:
            SpotError: no frame, or a box without an area inside the frame.
        """
        boxes = np.asarray(box, np.float64)
        self._single = boxes.ndim == 1
        boxes = np.atleast_2d(boxes)
        _check(frame, boxes)
        self._state = self.tracker.start([frame] * len(boxes), boxes)

    def step(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Find the target in the next frame.

        Returns:
            Box (4,) float64 and score in [0, 1]; (B, 4) and (B,) if `start` got B boxes.

        Raises:
            SpotError: `start` was not called.
        """
        if self._state is None:
            raise SpotError("call start(frame, box) before step(frame)")
        count = len(self._state.centers)
        self._state, boxes, scores = self.tracker.step(self._state, [frame] * count)
        return (boxes[0], float(scores[0])) if self._single else (boxes, scores)

    def track(
        self, video: str | Path | Iterable[np.ndarray], boxes: np.ndarray | list
    ) -> Iterator[tuple[np.ndarray, np.ndarray | float]]:
        """Track through a video and yield box and score of each frame, the first included (score 1).

        Args:
            video: a video file, a folder of images, or frames.
            boxes: in the first frame, as for `start`.

        Raises:
            SpotError: the video cannot be read, or has no frame.
        """
        frames = iter(read_video(video) if isinstance(video, str | Path) else video)
        first = next(frames, None)
        if first is None:
            raise SpotError("the video has no frame")
        self.start(first, boxes)
        given = np.asarray(boxes, np.float64)
        yield given, (1.0 if self._single else np.ones(len(given)))
        for frame in frames:
            yield self.step(frame)


def read_video(video: str | Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video file or of a folder of images, (H, W, 3) uint8 RGB.

    A file that breaks off ends with its last good frame, and a warning says so.

    Raises:
        SpotError: no such file, not a video, or an image that cannot be read.
    """
    place = Path(video)
    if place.is_dir():
        frames = list_frames(str(place))
        for i in range(len(frames)):
            yield read_frame(frames.path(i)).pixels
        return
    try:
        for decoded in decode_video(place):
            yield decoded.pixels()
    except BrokenTail as error:
        log.warning("%s: %s; the frames before it are used", place, error)


def _check(frame: np.ndarray, boxes: np.ndarray) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise SpotError(f"a frame is (H, W, 3) uint8 RGB, not {frame.shape} {frame.dtype}")
    height, width = frame.shape[:2]
    if boxes.shape[-1] != 4 or not (drawable(boxes) & touch_image(boxes, width, height)).all():
        raise SpotError(
            f"box={boxes.squeeze().tolist()}: not x, y, w, h with an area inside the frame of {width} x {height} pixels"
        )


def load(source: str | Path, arch: str | None = None, **options: str | int | None) -> VideoTracker:
    """Load a tracker (`spot.load`).

    Args:
        source: a run's folder, a checkpoint or start weights; "default": the weights that come with the project.
        arch: name of the architecture (see conf/arch), where `source` is not of a run.
        options: `model` (teacher or student), `epoch` and `accelerator` (auto, cpu or gpu).

    Raises:
        SpotError: no such file, or one of another architecture.
    """
    from spot.tracking.loading import load_tracker

    return VideoTracker(load_tracker(source, arch, **options).tracker)
