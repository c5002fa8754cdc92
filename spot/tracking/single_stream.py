"""Measure how fast a tracker is on one video alone; lock-step batches measure throughput."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spot.architectures.tracker import Tracker
from spot.data.video import VideoSet
from spot.tracking.runner import Runner

WARM_UP = 10
"""Frames at the start that are not counted: caches fill and kernels are chosen."""


class StreamSpeed(NamedTuple):
    """Speed on a single stream.

    Attributes:
        frames_per_second: of the frame of median time: crop, network and box; reading the image is not included.
        frames: how many were counted.
        video: the video's name.
    """

    frames_per_second: float
    frames: int
    video: str


def single_stream(tracker: Tracker, videos: VideoSet) -> StreamSpeed:
    """Track the shortest video that is long enough, frame by frame, and take the median time of a frame."""
    lengths = np.asarray(videos.lengths)
    enough = np.flatnonzero(lengths > 3 * WARM_UP)
    chosen = enough[lengths[enough].argmin()] if len(enough) else int(lengths.argmax())
    ((video, track),) = Runner(tracker, corrupt_fraction=1.0).run([videos[videos.names[chosen]]])
    counted = track.seconds[min(WARM_UP, len(video) // 2) :]
    counted = counted[counted > 0]  # frames that cannot be read take no time
    return StreamSpeed(float(1 / np.median(counted)), len(counted), video.name)
