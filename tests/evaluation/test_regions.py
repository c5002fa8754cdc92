"""Rasterised overlap against a pixel-by-pixel drawing of both polygons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.evaluation.vot import regions
from spot.evaluation.vot.regions import raster_overlap
from spot.results.vot_files import corner_points


def whole(value):
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


def drawn(polygon, origin, width, height):
    """Pixels of a polygon, drawn row by row between the edges that cross the row."""
    points = [(whole(np.float32(x) - origin[0]), whole(np.float32(y) - origin[1])) for x, y in polygon]
    mask = np.zeros((height, width), bool)
    for y in range(height):
        ends = []
        for (x1, y1), (x0, y0) in zip(points, [points[-1], *points[:-1]], strict=True):
            if y0 != y1 and min(y0, y1) <= y <= max(y0, y1):
                ends.append(int(x1 + (y - y1) / (y0 - y1) * (x0 - x1)))
        ends.sort()
        i = 0
        while i < len(ends) - 1:
            if ends[i] == ends[i + 1]:
                i += 1
                continue
            if ends[i + 1] >= 0:
                mask[y, max(ends[i], 0) : min(ends[i + 1], width - 1) + 1] = True
            i += 2
    return mask


def slow_overlap(first, second, bound=None):
    polygons = [np.asarray(p, np.float32).reshape(4, 2) for p in (first, second)]
    lows, highs = [np.floor(p.min(0)) for p in polygons], [np.ceil(p.max(0)) for p in polygons]
    if bound is not None:
        lows, highs = [np.maximum(low, 0) for low in lows], [np.minimum(high, np.float32(bound)) for high in highs]
    areas = [(high - low).prod() for low, high in zip(lows, highs, strict=True)]
    shared = (np.minimum(*highs) - np.maximum(*lows)).prod()
    low, high = np.minimum(*lows), np.maximum(*highs)
    width, height = (int(v) + 1 for v in high - low)
    with np.errstate(all="ignore"):  # the toolkit's short cuts
        if areas[0] / areas[1] < 1e-10 or areas[1] / areas[0] < 1e-10 or width < 1 or height < 1:
            return 0.0
        if shared / (sum(areas) - shared) <= 0:
            return 0.0
    masks = [drawn(p, low, width, height) for p in polygons]
    union = (masks[0] | masks[1]).sum()
    return (masks[0] & masks[1]).sum() / union if union else np.nan


coordinate = st.floats(-30, 60).map(lambda v: round(v, 2))
quad = st.lists(coordinate, min_size=8, max_size=8)


@settings(max_examples=80, deadline=None)
@given(first=quad, second=quad, bounded=st.booleans())
def test_any_two_quadrilaterals(first, second, bounded):
    """Also crossed, degenerate and out of the frame."""
    bound = [40, 35] if bounded else None
    ours = raster_overlap(np.array([first]), np.array([second]), np.array([bound], float) if bounded else None)[0]
    assert ours == pytest.approx(slow_overlap(first, second, bound), abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([0, 0, 9, 9], [0, 0, 9, 9], 1, id="the same"),
        pytest.param([0, 0, 9, 9], [5, 0, 9, 9], 50 / 150, id="half beside, ends included"),
        pytest.param([0, 0, 9, 9], [20, 0, 9, 9], 0, id="apart"),
    ],
)
def test_boxes(first, second, expected):
    corners = corner_points(np.array([first, second], float))
    assert raster_overlap(corners[:1], corners[1:])[0] == pytest.approx(expected)


def test_what_lies_outside_the_frame_does_not_count():
    corners = corner_points(np.array([[-20, 0, 30, 10], [0, 0, 10, 10]], float))
    free = raster_overlap(corners[:1], corners[1:])[0]
    cut = raster_overlap(corners[:1], corners[1:], np.array([[100, 100.0]]))[0]
    assert free == pytest.approx(11 / 31)
    assert cut == 1


def test_missing_regions_have_no_overlap():
    known = corner_points(np.array([[0, 0, 9, 9.0]]))
    assert np.isnan(raster_overlap(np.full((1, 8), np.nan), known)[0])
    assert np.isnan(raster_overlap(known, np.full((1, 8), np.nan))[0])
    assert raster_overlap(np.zeros((0, 8)), np.zeros((0, 8))).shape == (0,)


def test_many_frames_are_worked_off_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = (corner_points(np.abs(rng.normal(0, 20, (50, 4))) + 1) for _ in range(2))
    whole_lot = raster_overlap(a, b)
    monkeypatch.setattr(regions, "FRAMES_AT_ONCE", 30)
    np.testing.assert_array_equal(raster_overlap(a, b), whole_lot)
