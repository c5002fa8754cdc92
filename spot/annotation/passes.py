"""Track from every labelled frame to the next labels, forward and backward, many passes in lock-step.

A pass starts at a labelled frame and ends at the next labelled frame in its direction, or at the video's end. That last
frame is tracked too: there the tracker's box is compared with the human one, which the tracker does not know (see
`spot.annotation.calibration`).

    label A ---- forward from A ----> label B ---- forward from B ----> end
    start  <---- backward from A      label A <---- backward from B
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spot.architectures.tracker import Tracker
from spot.data.video import Frames, Video
from spot.evaluation.vot.supervised import SKIPPED
from spot.runtime.errors import SpotError
from spot.tracking.runner import Runner


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass of a tracker through a part of a video.

    Attributes:
        video: name of the video.
        target: number of the target.
        frames: of the video.
        start: labelled frame that the tracker starts from.
        box: (4,) its human box, xywh in image pixels.
        stop: last frame that is tracked; smaller than `start` for a backward pass.
    """

    video: str
    target: int
    frames: Frames
    start: int
    box: np.ndarray
    stop: int

    @property
    def indices(self) -> np.ndarray:
        """(m,) frames that are tracked, in the order of the pass; `start` is not among them."""
        return np.arange(self.start + self.step, self.stop + self.step, self.step)

    @property
    def step(self) -> int:
        """1 forward, -1 backward."""
        return 1 if self.stop > self.start else -1


def plan_passes(video: str, target: int, frames: Frames, labelled: np.ndarray, boxes: np.ndarray) -> list[Pass]:
    """Plan the passes of one target.

    Args:
        video, target, frames: see `Pass`.
        labelled: (k,) labelled frames, ascending.
        boxes: (k, 4) human boxes xywh; NaN where the target is absent: a pass ends there, none starts.

    Returns:
        The forward passes, then the backward ones; none of length 0.

    Raises:
        SpotError: a label lies outside the video.
    """
    if len(labelled) and labelled[-1] >= len(frames):
        raise SpotError(
            f"{video}: label in frame {labelled[-1]}, but the video has {len(frames)} frames (0 to {len(frames) - 1}); "
            "correct the labels or extract the video again"
        )
    last = [*labelled[1:].tolist(), len(frames) - 1]  # forward
    first = [0, *labelled[:-1].tolist()]  # backward
    return [
        Pass(video, target, frames, int(start), box, stop)
        for ends in (last, first)
        for start, box, stop in zip(labelled, boxes, ends, strict=True)
        if np.isfinite(box).all() and stop != start
    ]


@dataclass(frozen=True, eq=False)
class Tracked:
    """The result of one pass.

    Attributes:
        of: the pass, with m frames.
        boxes: (m, 4) float32 xywh in image pixels, in the order of `Pass.indices`.
        scores: (m,) float32 in [0, 1], the tracker's own.
    """

    of: Pass
    boxes: np.ndarray
    scores: np.ndarray


def track_passes(
    tracker: Tracker,
    passes: Sequence[Pass],
    batch: int = 8,
    advance: Callable[[int], object] = lambda frames: None,
) -> Iterator[Tracked]:
    """Track passes, `batch` of them through each forward pass of the network; arguments as for `Runner`.

    A pass's boxes do not depend on its neighbours in the batch.

    Yields:
        Each pass as it ends. Frames that cannot be read repeat the last box with score 0.

    Raises:
        SpotError: a labelled frame cannot be read, or a box of the tracker is not finite.
    """
    videos = [_as_video(planned) for planned in passes]
    by_video = {id(video): planned for video, planned in zip(videos, passes, strict=True)}
    for video, track in Runner(tracker, batch, corrupt_fraction=1.0, advance=advance).run(videos):
        planned = by_video[id(video)]
        if track.codes[0] == SKIPPED:
            raise SpotError(f"{planned.frames.path(planned.start)}: a labelled frame cannot be read; restore the file")
        yield Tracked(planned, track.boxes[1:].astype(np.float32), track.scores[1:].astype(np.float32))


def _as_video(planned: Pass) -> Video:
    """Return the frames of a pass in its order, as a video whose first frame alone has a box."""
    order = [planned.start, *planned.indices.tolist()]
    boxes = np.full((len(order), 4), np.nan)
    boxes[0] = planned.box
    name = f"{planned.video}, frame {planned.start} to {planned.stop}"
    return Video(name, planned.frames.part(order), boxes, np.isfinite(boxes[:, 0]))
