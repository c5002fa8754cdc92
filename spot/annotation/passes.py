"""Track from every labelled frame to the next labels, forward and backward, many passes in lock-step.

A pass starts at a labelled frame and ends at the next labelled frame in its direction, or at the video's end. That last
frame is tracked too: there the tracker's box meets a human's, which it does not know (see `spot.annotation.calibration`).

    label A ---- forward from A ----> label B ---- forward from B ----> end
    start  <---- backward from A      label A <---- backward from B
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from spot.architectures.tracker import Tracker, TrackState
from spot.data.images import read_frame
from spot.data.video import Frames
from spot.runtime.errors import SpotError
from spot.tracking.runner import join_states, state_row

AHEAD = 2  # frames of a pass that are decoded before they are needed


@dataclass(frozen=True, eq=False)
class Pass:
    """One way of a tracker through a part of a video.

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
        step = self.step
        return np.arange(self.start + step, self.stop + step, step)

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
    stops = {
        1: [*labelled[1:].tolist(), len(frames) - 1],
        -1: [0, *labelled[:-1].tolist()],
    }
    return [
        Pass(video, target, frames, int(start), box, stop)
        for ends in stops.values()
        for start, box, stop in zip(labelled, boxes, ends, strict=True)
        if np.isfinite(box).all() and stop != start
    ]


@dataclass(frozen=True, eq=False)
class Tracked:
    """What a tracker found on one pass.

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
    passes: Iterable[Pass],
    batch: int = 8,
    advance: Callable[[int], object] = lambda frames: None,
) -> Iterator[Tracked]:
    """Track passes, `batch` of them through each forward pass of the network.

    A pass's boxes do not depend on its neighbours in the batch. Memory holds a few decoded frames of each pass.

    Args:
        tracker: see `spot.architectures.tracker.Tracker`.
        passes: taken one by one as places in the batch become free.
        batch: at least 1.
        advance: called with the number of frames tracked in each step.

    Yields:
        Each pass as it ends. Frames that cannot be read repeat the last box with score 0.
    """
    waiting = iter(passes)
    with ThreadPoolExecutor(max(1, min(batch, os.cpu_count() or 1))) as readers:
        running: list[_Running] = []
        while True:
            while len(running) < batch and (planned := next(waiting, None)) is not None:
                running.append(_Running(planned, readers))
            if not running:
                return
            advance(_tick(tracker, running))
            yield from (each.result() for each in running if each.done)
            running = [each for each in running if not each.done]


class _Running:
    """A pass on its way."""

    def __init__(self, planned: Pass, readers: ThreadPoolExecutor) -> None:
        self.planned = planned
        self.order = [planned.start, *planned.indices.tolist()]
        self.at = 0  # position in `order` of the frame that comes next
        self.state: TrackState | None = None
        self.box = planned.box.astype(np.float64)
        self.boxes = np.empty((len(self.order) - 1, 4), np.float32)
        self.scores = np.zeros(len(self.order) - 1, np.float32)
        self._readers = readers
        self._reading: deque[Future[np.ndarray | None]] = deque()

    def frame(self) -> np.ndarray | None:
        """Return the next frame's pixels, (H, W, 3) uint8 RGB; None where it cannot be read."""
        while len(self._reading) < AHEAD and self.at + len(self._reading) < len(self.order):
            path = self.planned.frames.path(self.order[self.at + len(self._reading)])
            self._reading.append(self._readers.submit(_read, path))
        return self._reading.popleft().result()

    def record(self, box: np.ndarray, score: float) -> None:
        """Note the box of the next frame, and go on."""
        if self.at:
            self.boxes[self.at - 1], self.scores[self.at - 1] = box, score
        self.box = box
        self.at += 1

    @property
    def done(self) -> bool:
        return self.at >= len(self.order)

    def result(self) -> Tracked:
        return Tracked(self.planned, self.boxes, self.scores)


def _tick(tracker: Tracker, running: Sequence[_Running]) -> int:
    """Track one frame of every pass; returns how many."""
    frames = [(each, each.frame()) for each in running]
    starting, going = list[tuple[_Running, np.ndarray]](), list[tuple[_Running, np.ndarray]]()
    for each, frame in frames:
        if frame is not None:
            (going if each.state is not None else starting).append((each, frame))
        elif each.at == 0:
            planned = each.planned
            raise SpotError(f"{planned.frames.path(planned.start)}: a labelled frame cannot be read; restore the file")
        else:
            each.record(each.box, 0.0)
    if starting:
        state = tracker.start([frame for _, frame in starting], np.stack([each.box for each, _ in starting]))
        for i, (each, _) in enumerate(starting):
            each.state = state_row(state, i)
            each.record(each.box, 1.0)
    if going:
        joined = join_states([each.state for each, _ in going if each.state is not None])
        state, boxes, scores = tracker.step(joined, [frame for _, frame in going])
        for i, (each, _) in enumerate(going):
            each.state = state_row(state, i)
            each.record(boxes[i], float(scores[i]))
    return len(running)


def _read(path: str) -> np.ndarray | None:
    try:
        return read_frame(path).pixels
    except SpotError:
        return None
