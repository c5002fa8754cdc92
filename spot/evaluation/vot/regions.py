"""Overlap of polygons as the VOT toolkit measures it: both are drawn on the pixel grid, and pixels are counted.

The toolkit's own code loops over frames, rows and pixels in C. Here each row of each polygon is at most two runs of
pixels, so areas and intersections are sums over run ends, for all rows of many frames at once.
"""

from __future__ import annotations

import numpy as np

FRAMES_AT_ONCE = 2000
"""Frames in one go, which bounds the memory."""
_NOTHING = np.int64(1) << 40


def raster_overlap(first: np.ndarray, second: np.ndarray, bounds: np.ndarray | None = None) -> np.ndarray:
    """Compute intersection over union in whole pixels.

    Args:
        first, second: (n, 8) corner points x1, y1 .. x4, y4 in pixels; NaN where there is no region.
        bounds: (n, 2) the largest x and y that count (the smallest are 0), or None: unbounded.

    Returns:
        (n,) float64 in [0, 1], rounded to float32 as the toolkit's are; NaN where either region is missing.
    """
    if len(first) > (n := FRAMES_AT_ONCE):
        limits = [None if bounds is None else bounds[i : i + n] for i in range(0, len(first), n)]
        parts = zip(range(0, len(first), n), limits, strict=True)
        return np.concatenate([raster_overlap(first[i : i + n], second[i : i + n], limit) for i, limit in parts])
    result = np.full(len(first), np.nan)
    known = np.flatnonzero(np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1))
    a, b = (np.asarray(p[known], np.float32).reshape(-1, 4, 2) for p in (first, second))
    low_a, high_a, low_b, high_b = np.floor(a.min(1)), np.ceil(a.max(1)), np.floor(b.min(1)), np.ceil(b.max(1))
    if bounds is not None:
        limit = np.asarray(bounds[known], np.float32)
        low_a, low_b = np.maximum(low_a, 0), np.maximum(low_b, 0)
        high_a, high_b = np.minimum(high_a, limit), np.minimum(high_b, limit)
    origin = np.minimum(low_a, low_b)
    size = np.trunc(np.maximum(high_a, high_b) - origin).astype(np.int64) + 1
    apart = _apart(low_a, high_a, low_b, high_b) | (size < 1).any(axis=1)
    result[known[apart]] = 0
    near = np.flatnonzero(~apart)
    a, b = (_whole(polygon[near] - origin[near, None]) for polygon in (a, b))
    size = size[near]
    top = np.maximum(np.minimum(a[..., 1].min(1), b[..., 1].min(1)), 0).astype(np.int64)
    bottom = np.minimum(np.maximum(a[..., 1].max(1), b[..., 1].max(1)).astype(np.int64), size[:, 1] - 1)
    rows = np.maximum(bottom - top + 1, 0)
    shared, union = _count_pixels(a, b, size[:, 0], top, rows)
    with np.errstate(invalid="ignore"):
        result[known[near]] = shared.astype(np.float32) / union.astype(np.float32)
    return result


def _apart(low_a: np.ndarray, high_a: np.ndarray, low_b: np.ndarray, high_b: np.ndarray) -> np.ndarray:
    """Return (n,) bool: the toolkit's short cuts to overlap 0: bounding boxes apart, or of wildly different area."""
    area_a, area_b = (high_a - low_a).prod(axis=1), (high_b - low_b).prod(axis=1)
    shared = (np.minimum(high_a, high_b) - np.maximum(low_a, low_b)).prod(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = shared / (area_a + area_b - shared)
        return (ratio <= 0) | (area_a / area_b < 1e-10) | (area_b / area_a < 1e-10)


def _whole(points: np.ndarray) -> np.ndarray:
    """Return coordinates rounded to whole pixels, halves away from zero."""
    points = points.astype(np.float64)
    return np.trunc(points + np.copysign(0.5, points))


def _count_pixels(
    a: np.ndarray, b: np.ndarray, width: np.ndarray, top: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in the intersection and in the union of (m, 4, 2) polygons on grids `width` wide.

    Frame f has `rows[f]` rows from `top[f]` on.
    """
    frame = np.repeat(np.arange(len(rows)), rows)
    starts = np.cumsum(rows) - rows
    y = np.arange(len(frame)) - starts[frame] + top[frame]
    runs_a, runs_b = (_runs(polygon[frame], y, width[frame]) for polygon in (a, b))
    area = sum(_lengths(*run) for runs in (runs_a, runs_b) for run in runs)
    pairs = [(one, other) for one in runs_a for other in runs_b]
    shared = sum(_lengths(np.maximum(one[0], other[0]), np.minimum(one[1], other[1])) for one, other in pairs)
    in_both = np.bincount(frame, shared, minlength=len(rows))
    return in_both, np.bincount(frame, area, minlength=len(rows)) - in_both


def _lengths(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.maximum(high - low + 1, 0)


def _runs(polygon: np.ndarray, y: np.ndarray, width: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two runs of pixels (first, last; empty where first > last) that a polygon covers in a row.

    Where edges cross the row, sorted, are the ends of the runs. An end that occurs twice is a corner in the row, and
    its first occurrence is passed over.
    """
    ends = np.sort(np.stack([_crossing(polygon, corner, y) for corner in range(4)]), axis=0)
    at = np.zeros(len(y), np.int64)
    runs = []
    low, high = np.full(len(y), _NOTHING), np.full(len(y), -1)
    for i in range(3):
        here = (at == i) & (ends[i + 1] < _NOTHING)
        twice = ends[i] == ends[i + 1]
        at[here] = np.where(twice[here], i + 1, i + 2)
        run = here & ~twice & (ends[i + 1] >= 0)
        low = np.where(run, np.maximum(ends[i], 0), low)
        high = np.where(run, np.minimum(ends[i + 1], width - 1), high)
        if i == 1:
            runs.append((low, high))
            low, high = np.full(len(y), _NOTHING), np.full(len(y), -1)
    # Two runs may share their middle pixel, which counts once.
    first_high = np.where(runs[0][0] <= runs[0][1], runs[0][1], -1)
    runs.append((np.maximum(low, first_high + 1), high))
    return runs


def _crossing(polygon: np.ndarray, corner: int, y: np.ndarray) -> np.ndarray:
    """Return column in which the edge that ends in a corner crosses each row; `_NOTHING` where it does not."""
    x1, y1 = polygon[:, corner].T
    x0, y0 = polygon[:, corner - 1].T
    rise = y0 - y1
    crosses = (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1)) & (rise != 0)
    column = np.trunc(x1 + (y - y1) / np.where(crosses, rise, 1) * (x0 - x1)).astype(np.int64)
    return np.where(crosses, column, _NOTHING)
