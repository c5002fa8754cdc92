"""Single-frame measures and curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spot.evaluation import measures
from spot.evaluation.ground_truth import as_written

box = st.tuples(*[st.floats(-100, 100)] * 2, *[st.floats(0.5, 100)] * 2)


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param([0, 0, 10, 10], [0, 0, 10, 10], 1, id="the same"),
        pytest.param([0, 0, 10, 10], [5, 0, 10, 10], 1 / 3, id="half beside"),
        pytest.param([0, 0, 10, 10], [10, 0, 10, 10], 0, id="edges touch"),
        pytest.param([0, 0, 10, 10], [2, 2, 5, 5], 0.25, id="inside"),
    ],
)
def test_overlap_of_two_boxes(truth, predicted, expected):
    a, b = np.array([truth], float), np.array([predicted], float)
    assert measures.overlap(a, b)[0] == pytest.approx(expected)
    assert measures.overlap(a, b, inclusive=True)[0] == pytest.approx(expected)


@given(a=box, b=box)
def test_overlap_is_symmetric_and_a_share(a, b):
    one, other = np.array([a]), np.array([b])
    value = measures.overlap(one, other)[0]
    assert 0 <= value <= 1
    assert value == pytest.approx(measures.overlap(other, one)[0], abs=1e-12)


def test_empty_boxes_need_an_epsilon():
    nothing = np.zeros((1, 4))
    assert np.isnan(measures.overlap(nothing, nothing)[0])
    assert measures.overlap(nothing, nothing, epsilon=measures.EPSILON)[0] == 0


def test_centre_errors():
    truth, predicted = np.array([[0, 0, 10, 20.0]]), np.array([[3, 4, 10, 20.0]])
    assert measures.center_error(truth, predicted)[0] == 5
    assert measures.normalized_center_error(truth, predicted)[0] == pytest.approx(np.hypot(0.3, 0.2))


def test_small_targets_count_as_one_pixel_where_the_toolkit_says_so():
    truth, predicted = np.array([[0, 0, 0.5, 0.5]]), np.array([[0.5, 0, 0.5, 0.5]])
    assert measures.normalized_center_error(truth, predicted)[0] == pytest.approx(1)
    assert measures.normalized_center_error(truth, predicted, least_size=1.0)[0] == pytest.approx(0.5)


def test_got10k_moves_boxes_into_the_frame_instead_of_cutting_them():
    moved = measures.cut_as_got10k(np.array([[-10, 5, 30, 30], [90, 90, 30, 30.0]]), np.array([[100, 100.0]] * 2))
    assert moved.tolist() == [[0, 5, 30, 30], [90, 90, 10, 10]]


@pytest.mark.parametrize("text", ["285.12", "0.1", "1234.56", "7", "-30.5", "99999.5", "0.0001"])
def test_truth_is_as_it_was_written(text):
    """float32 holds annotations; a prediction that repeats their text must have distance 0."""
    stored = np.array([[float(text), 0, 1, np.nan]], np.float32)
    assert as_written(stored)[0, 0] == float(text)
    assert np.isnan(as_written(stored)[0, 3])
