"""How well a box fits, frame by frame: arrays in, arrays out.

Boxes are `(n, 4)` float64 xywh in pixels of the full frame, 0-based top-left corner. The toolkits of the field agree on
these formulas up to details that are keyword arguments here; `protocols.py` says which toolkit uses which.
"""

from __future__ import annotations

import numpy as np

OVERLAP_THRESHOLDS = np.arange(0, 1.05, 0.05)
"""(21,) thresholds of the success curve; a frame succeeds where its overlap is *above* the threshold."""
FINE_OVERLAP_THRESHOLDS = np.linspace(0, 1, 101)
FINE_OVERLAP_THRESHOLDS[::5] = OVERLAP_THRESHOLDS
"""(101,) thresholds of the GOT-10k toolkit's success curve. Every fifth is one of the 21, to the last bit."""
ERROR_THRESHOLDS = np.arange(51.0)
"""(51,) pixels, thresholds of the precision curve; a frame hits where its centre error is *at most* the threshold."""
NORMALIZED_THRESHOLDS = np.arange(51) / 100
"""(51,) thresholds of the normalised precision curve, in sizes of the true box."""
PRECISION_AT = 20
"""Where the two precision curves are read: index 20 is 20 px and 0.2."""

EPSILON = float(np.finfo(float).eps)


def centers(boxes: np.ndarray) -> np.ndarray:
    """Compute (n, 2) centres x, y, counted in whole pixels: `x + (w - 1) / 2`."""
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def shared_sides(truth: np.ndarray, boxes: np.ndarray, inclusive: bool = False) -> np.ndarray:
    """Compute (n, 2) width and height of the intersection, negative where the boxes are apart.

    With `inclusive` the last pixel is `x + w - 1`, which is the same number up to rounding.
    """
    last = 1.0 if inclusive else 0.0
    ends = np.minimum(boxes[:, :2] + boxes[:, 2:] - last, truth[:, :2] + truth[:, 2:] - last)
    return ends - np.maximum(boxes[:, :2], truth[:, :2]) + last


def overlap(
    truth: np.ndarray, boxes: np.ndarray, inclusive: bool = False, epsilon: float = 0.0, clip: bool = True
) -> np.ndarray:
    """Compute (n,) intersection over union in [0, 1].

    Args:
        truth, boxes: (n, 4).
        inclusive: see `shared_sides`.
        epsilon: added to the union, so that two empty boxes give 0 and not NaN.
        clip: cut rounding noise above 1.

    Example:
        >>> overlap(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 10, 10]])).round(4).tolist()
        [0.3333]
    """
    sides = np.maximum(shared_sides(truth, boxes, inclusive), 0)
    shared = sides[:, 0] * sides[:, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = shared / (boxes[:, 2] * boxes[:, 3] + truth[:, 2] * truth[:, 3] - shared + epsilon)
    return np.clip(ratio, 0, 1) if clip else ratio


def center_error(truth: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute (n,) distances of the centres in pixels."""
    return np.linalg.norm(centers(truth) - centers(boxes), axis=1)


def normalized_center_error(
    truth: np.ndarray, boxes: np.ndarray, epsilon: float = 0.0, least_size: float | None = None
) -> np.ndarray:
    """Compute (n,) distances of the centres, each axis in sizes of the true box.

    Args:
        truth, boxes: (n, 4).
        epsilon: added to the true sizes.
        least_size: take true sides shorter than this many pixels as that long.
    """
    if least_size is not None:
        return np.linalg.norm((centers(truth) - centers(boxes)) / np.maximum(truth[:, 2:], least_size), axis=1)
    sizes = truth[:, 2:] + epsilon
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.linalg.norm(centers(truth) / sizes - centers(boxes) / sizes, axis=1)


def cut_as_got10k(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Bound boxes by the frame as the GOT-10k toolkit does: clip the corner first, then the size to what is left.

    A box that sticks out at the left or top is moved in, not cut. The official numbers are made so.

    Args:
        boxes: (n, 4).
        sizes: (n, 2) width and height of each frame, pixels.
    """
    corner = np.clip(boxes[:, :2], 0, sizes)
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0, sizes - corner)], axis=1)
