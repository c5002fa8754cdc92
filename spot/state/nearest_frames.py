"""Find the nearest of a target's explored frames or key frames. Pure functions, one binary search each."""

from __future__ import annotations

import numpy as np

from spot.state.sampler_state import TargetState


def nearest(ids: np.ndarray, frame: int) -> tuple[int, int]:
    """Find the two frames around a frame, the nearer one first.

    Args:
        ids: (m,) sorted frame indices, m >= 1.
        frame: any frame index.

    Returns:
        Positions in `ids` of the nearest and the second nearest of the two frames around `frame`. At equal distance
        the later frame is the nearest. Before the first and after the last frame of `ids`, both are that frame.

    Example:
        >>> nearest(np.array([10, 20, 40]), 24)
        (1, 2)
        >>> nearest(np.array([10, 20, 40]), 30)
        (2, 1)
    """
    last = len(ids) - 1
    right = int(ids.searchsorted(ids.dtype.type(frame), side="right"))  # another type would copy `ids`
    if right == 0:
        return 0, 0
    if right > last:
        return last, max(last - 1, 0) if ids.item(last) == frame else last
    left = right - 1
    return (left, right) if frame - ids.item(left) < ids.item(right) - frame else (right, left)


def nearest_key(target: TargetState, frame: int) -> tuple[int, np.ndarray]:
    """Find the key frame nearest to a frame, the later one at equal distance.

    Returns:
        The key frame, and a copy of its human box, (4,) float32 xywh in image pixels.
    """
    i, _ = nearest(target.key_ids, frame)
    return target.key_ids.item(i), target.key_boxes[i].copy()
