"""Track each pass a second time in the mirrored video, and average both.

A network makes different errors in a picture and in its mirror image. Where both boxes overlap, their mean is better
than either. docs/own_videos.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from spot.annotation.joining import AGREE, box_of, centre_and_size
from spot.annotation.passes import Pass, Tracked, track_passes
from spot.architectures.tracker import Tracker, TrackState
from spot.data.boxes import box_iou

DISAGREEING = 0.5  # factor on the score of a box that the mirrored pass does not confirm


class MirroredTracker(Tracker):
    """A tracker that sees all frames mirrored left to right. Its boxes are those of the frames as they are."""

    def __init__(self, tracker: Tracker) -> None:
        self.network = tracker.network
        self._tracker = tracker

    def start(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> TrackState:
        """See `Tracker.start`."""
        return self._tracker.start(_mirrored(frames), _mirrored_boxes(boxes, frames))

    def step(self, state: TrackState, frames: Sequence[np.ndarray]) -> tuple[TrackState, np.ndarray, np.ndarray]:
        """See `Tracker.step`."""
        state, boxes, scores = self._tracker.step(state, _mirrored(frames))
        return state, _mirrored_boxes(boxes, frames), scores


def track_with_mirror(
    tracker: Tracker,
    passes: Sequence[Pass],
    batch: int = 8,
    advance: Callable[[int], object] = lambda frames: None,
) -> Iterator[Tracked]:
    """Track passes as `track_passes` does, and in the mirrored video too; every frame counts twice for `advance`.

    Yields:
        Each pass as it ends. Where both boxes overlap by `AGREE`, box and score are the means; elsewhere they are those of
        the pass itself, the score halved.
    """
    both = (track_passes(each, passes, batch, advance) for each in (tracker, MirroredTracker(tracker)))
    for plain, mirrored in zip(*both, strict=True):  # passes end in the same order: it follows from their lengths
        agree = box_iou(plain.boxes, mirrored.boxes) >= AGREE
        mean = box_of((centre_and_size(plain.boxes) + centre_and_size(mirrored.boxes)) / 2)
        boxes = np.where(agree[:, None], mean, plain.boxes).astype(np.float32)
        scores = np.where(agree, (plain.scores + mirrored.scores) / 2, DISAGREEING * plain.scores)
        yield replace(plain, boxes=boxes, scores=scores.astype(np.float32))


def _mirrored(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]


def _mirrored_boxes(boxes: np.ndarray, frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return (B, 4) float64 boxes xywh in the mirrored frames."""
    x, y, w, h = np.asarray(boxes, np.float64).T
    return np.stack([np.array([frame.shape[1] for frame in frames]) - x - w, y, w, h], axis=1)
