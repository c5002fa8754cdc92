"""Track many videos with one tracker, in lock-step."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from spot.architectures.tracker import Tracker, TrackState
from spot.data.annotations import drawable
from spot.data.images import read_frame
from spot.data.video import Video
from spot.evaluation.vot.supervised import FAILED, INITIALISED, REGION, RESTART_AFTER, SKIPPED
from spot.results.result_track import Track
from spot.runtime.errors import SpotError
from spot.tracking.vot_restarts import overlaps

log = logging.getLogger(__name__)


class Slot:
    """A video that is being tracked.

    `index` is the next frame, initially the first frame with a box. `box` is the last known box. `state` is the
    tracker's state, None before a (re)start.
    """

    def __init__(self, video: Video, readers: ThreadPoolExecutor, supervised: bool) -> None:
        labelled = np.flatnonzero(drawable(video.boxes))
        if not len(labelled):
            raise SpotError(f"{video.name}: no frame has a box; a tracker needs one to start from")
        self.video = video
        self.track = Track.empty(len(video))
        self.index = int(labelled[0])
        self.box = video.boxes[self.index].astype(np.float64)
        self.track.boxes[: self.index] = self.box  # the frames before the first labelled one are not tracked
        self.state: TrackState | None = None
        self._readers = readers
        self._supervised = supervised
        self._next: tuple[int, Future[np.ndarray]] | None = None

    def frame(self) -> np.ndarray:
        """Return the pixels of frame `index` and read the next one ahead. Raise SpotError if the frame is unreadable."""
        pending = self._next[1] if self._next and self._next[0] == self.index else self._read(self.index)
        ahead = self.index + 1
        self._next = (ahead, self._read(ahead)) if ahead < len(self.video) else None
        return pending.result()

    def _read(self, index: int) -> Future[np.ndarray]:
        path = self.video.frames.path(index)
        return self._readers.submit(lambda: read_frame(path).pixels)

    def record(self, box: np.ndarray, score: float, seconds: float, code: int = REGION) -> None:
        """Fill the row of frame `index` and move to the next frame."""
        track, i = self.track, self.index
        track.boxes[i], track.scores[i], track.seconds[i], track.codes[i] = box, score, seconds, code
        self.box = box
        self.index += 1

    def skip(self) -> None:
        """Repeat the last box in a frame that cannot be read; a start waits for the next frame."""
        self.record(self.box, 0.0, 0.0, SKIPPED if self.state is None else REGION)
        if self.state is None and self._supervised:
            self._aim()

    def fail(self, seconds: float) -> None:
        """Record a failure; the tracker restarts from the ground truth some frames later."""
        self.track.seconds[self.index] = seconds
        self.track.codes[self.index] = FAILED
        self.state = None
        self.index += RESTART_AFTER
        self._aim()

    def _aim(self) -> None:
        """Move to the next frame with a true box and take that box."""
        while not self.done and not drawable(self.video.boxes[self.index : self.index + 1])[0]:
            self.index += 1
        if not self.done:
            self.box = self.video.boxes[self.index].astype(np.float64)

    @property
    def done(self) -> bool:
        return self.index >= len(self.video)


Group = Sequence[tuple[Slot, np.ndarray]]  # videos with the frame that comes next


class Runner:
    """Tracks videos, `batch` of them through each forward pass; a slot is filled again as soon as its video ends.

    Args:
        tracker: the tracker; the boxes of a video do not depend on the other videos, apart from rounding.
        batch: videos in lock-step, at least 1.
        supervised: VOT's protocol: restart 5 frames after a frame in which box and ground truth do not overlap.
        corrupt_fraction: fraction of unreadable frames above which the run stops. Below it, such a frame is logged and
            the last box is repeated.
        advance: called with the number of frames after each step.
    """

    def __init__(
        self,
        tracker: Tracker,
        batch: int = 1,
        supervised: bool = False,
        corrupt_fraction: float = 0.01,
        advance: Callable[[int], object] = lambda frames: None,
    ) -> None:
        self.tracker = tracker
        self.batch = batch
        self.supervised = supervised
        self.corrupt_fraction = corrupt_fraction
        self.corrupt = 0
        self._advance = advance

    def run(self, videos: Sequence[Video]) -> Iterator[tuple[Video, Track]]:
        """Track all videos and yield each as it ends; longest first keeps the batch full to the end.

        Raises:
            SpotError: a video without any box, too many unreadable frames, a box that is not finite.
        """
        waiting, slots = deque(videos), list[Slot]()
        limit = self.corrupt_fraction * sum(len(v) for v in videos)
        with ThreadPoolExecutor(min(self.batch, os.cpu_count() or 1)) as readers:
            while waiting or slots:
                while waiting and len(slots) < self.batch:
                    slots.append(Slot(waiting.popleft(), readers, self.supervised))
                before = sum(slot.index for slot in slots)
                self._tick(slots, limit)
                self._advance(sum(min(slot.index, len(slot.video)) for slot in slots) - before)
                yield from ((slot.video, slot.track) for slot in slots if slot.done)
                slots = [slot for slot in slots if not slot.done]

    def _tick(self, slots: Sequence[Slot], limit: float) -> None:
        """Track one frame of every slot."""
        frames = [(slot, frame) for slot in slots if (frame := self._frame(slot, limit)) is not None]
        fresh = [(slot, frame) for slot, frame in frames if slot.state is None]
        going = [(slot, frame) for slot, frame in frames if slot.state is not None]
        if fresh:
            self._start(fresh)
        if going:
            self._step(going)

    def _frame(self, slot: Slot, limit: float) -> np.ndarray | None:
        try:
            return slot.frame()
        except SpotError as error:
            self.corrupt += 1
            log.warning("frame %d of %s skipped: %s", slot.index + 1, slot.video.name, error)
            if self.corrupt > limit:
                raise SpotError(
                    f"{self.corrupt} unreadable frames are more than corrupt_fraction={self.corrupt_fraction} of all; "
                    f"the last: {error}"
                ) from None
            slot.skip()
            return None

    def _start(self, group: Group) -> None:
        begin = time.perf_counter()
        state = self.tracker.start([frame for _, frame in group], np.stack([slot.box for slot, _ in group]))
        seconds = (time.perf_counter() - begin) / len(group)
        for i, (slot, _) in enumerate(group):
            slot.state = _state_row(state, i)
            slot.record(slot.box, 1.0, seconds, INITIALISED)

    def _step(self, group: Group) -> None:
        begin = time.perf_counter()
        joined = _join_states([slot.state for slot, _ in group if slot.state is not None])
        state, boxes, scores = self.tracker.step(joined, [frame for _, frame in group])
        seconds = (time.perf_counter() - begin) / len(group)
        for i, (slot, frame) in enumerate(group):
            if not np.isfinite(boxes[i]).all():
                raise SpotError(
                    f"{slot.video.name}: the tracker's box in frame {slot.index + 1} is not finite; "
                    "check the checkpoint and precision="
                )
            slot.state = _state_row(state, i)
            if self.supervised and not overlaps(boxes[i], slot.video, slot.index, frame.shape[:2]):
                slot.fail(seconds)
            else:
                slot.record(boxes[i], float(scores[i]), seconds)


def _state_row(state: TrackState, i: int) -> TrackState:
    """Return one video's part of a state."""
    rows: dict[str, Any] = {name: getattr(state, name)[i : i + 1] for name in _arrays(state)}
    features = tuple(tensor[i : i + 1] for tensor in state.template_features)
    return replace(state, template_features=features, **rows)


def _join_states(states: Sequence[TrackState]) -> TrackState:
    """Join the states of single videos into one batch."""
    features = tuple(torch.cat(tensors) for tensors in zip(*(s.template_features for s in states), strict=True))
    rows: dict[str, Any] = {n: np.concatenate([getattr(s, n) for s in states]) for n in _arrays(states[0])}
    return replace(states[0], template_features=features, **rows)


def _arrays(state: TrackState) -> list[str]:
    """Return names of the fields with a row a video, those of an architecture's own state included."""
    return [field.name for field in fields(state) if field.name != "template_features"]
