"""Intervals and the paired test."""

import numpy as np
import pytest

from spot.evaluation.statistics import bootstrap_intervals, compare_paired


def test_intervals_cover_the_mean_and_shrink_with_more_videos():
    rng = np.random.default_rng(0)
    widths = []
    for videos in (20, 500):
        values = rng.uniform(0, 1, (videos, 1))
        low, high = bootstrap_intervals(values, np.ones((videos, 1)), 2000, seed=1)
        assert low[0] < values.mean() < high[0]
        widths.append(high[0] - low[0])
    assert widths[1] < widths[0] / 3


def test_intervals_hit_the_truth_as_often_as_they_say():
    """95 % intervals of 300 samples of a known mean: about 95 % hold it."""
    rng = np.random.default_rng(2)
    samples = rng.normal(0.5, 0.2, (60, 300))
    low, high = bootstrap_intervals(samples, np.ones_like(samples), 500, seed=3)
    assert 0.88 < np.mean((low < 0.5) & (high > 0.5)) < 0.99


def test_weighted_measures_are_ratios_of_sums():
    sums, weights = np.array([[9.0], [0.0]]), np.array([[90.0], [10.0]])
    low, high = bootstrap_intervals(sums, weights, 500, seed=0)
    assert low[0] == 0
    assert high[0] == pytest.approx(0.1)


def test_same_seed_same_intervals():
    values = np.random.default_rng(0).random((30, 2))
    draws = [bootstrap_intervals(values, np.ones_like(values), 50, seed=s) for s in (7, 7, 8)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_equal_trackers_are_not_told_apart():
    """The p value is spread evenly if there is no difference: 5 % of the tests call one."""
    rng = np.random.default_rng(4)
    p = [compare_paired(("a", "b"), "x", *rng.normal(0, 1, (2, 40)), 400, seed=i).p_value for i in range(200)]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.11


def test_a_constant_lead_is_significant():
    second = np.random.default_rng(5).random(30)
    outcome = compare_paired(("a", "b"), "success", second + 0.02, second, 2000, seed=0)
    assert outcome.p_value < 0.001
    assert outcome.difference == pytest.approx(0.02)
    assert (outcome.better, outcome.worse) == (30, 0)
    assert "a against b: success +2.00 points" in outcome.sentence
    assert "a significant difference" in outcome.sentence


def test_identical_results_have_p_one():
    values = np.random.default_rng(5).random(30)
    assert compare_paired(("a", "b"), "success", values, values, 100, seed=0).p_value == 1
