"""When VOT's supervised protocol restarts a tracker: its box and the ground truth do not overlap.

`spot.tracking.runner` restarts it from the ground truth `RESTART_AFTER` frames later (`Slot.fail`); that number and the
codes of the frames are in `spot.evaluation.vot.supervised`.
"""

from __future__ import annotations

import cv2
import numpy as np

from spot.data.video import Video


def overlaps(box: np.ndarray, video: Video, index: int, size: tuple[int, int]) -> bool:
    """Return whether a box xywh and the ground truth (its polygon if there is one) overlap inside the image.

    `size` is the image's (height, width). A frame without ground truth counts as overlapping.
    """
    truth = video.boxes[index] if video.polygons is None else video.polygons[index]
    if not np.isfinite(truth).all():
        return True
    corners = _corners(truth) if len(truth) == 4 else truth.reshape(-1, 2)
    inside = _corners(box).clip(0, [size[1], size[0]])
    ours, theirs = (cv2.convexHull(points.astype(np.float32)) for points in (inside, corners))
    area, _ = cv2.intersectConvexConvex(ours, theirs)
    return area > 0


def _corners(box: np.ndarray) -> np.ndarray:
    """Return (4, 2) corner points of a box xywh."""
    x, y, w, h = box
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
