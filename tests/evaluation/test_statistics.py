"""Intervals and the paired test."""

import numpy as np
import pytest

from spot.evaluation.statistics import bootstrap_interval, compare_paired


def test_intervals_cover_the_mean_and_shrink_with_more_videos():
    rng = np.random.default_rng(0)
    widths = []
    for videos in (20, 500):
        values = rng.uniform(0, 1, videos)
        low, high = bootstrap_interval(values, np.ones(videos), 2000, seed=1)
        assert low < values.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_intervals_hit_the_truth_as_often_as_they_say():
    """95 % intervals of 200 samples of a known mean: about 95 % hold it."""
    samples = np.random.default_rng(2).normal(0.5, 0.2, (200, 60))
    ends = [bootstrap_interval(one, np.ones(60), 300, seed=i) for i, one in enumerate(samples)]
    assert 0.88 < np.mean([low < 0.5 < high for low, high in ends]) < 0.99


def test_weighted_measures_are_ratios_of_sums():
    low, high = bootstrap_interval(np.array([9.0, 0.0, 0.0]), np.array([90.0, 10.0, 0.0]), 500, seed=0)
    assert low == 0
    assert high == pytest.approx(0.1)


def test_same_seed_same_intervals():
    values = np.random.default_rng(0).random(30)
    draws = [bootstrap_interval(values, np.ones(30), 50, seed=s) for s in (7, 7, 8)]
    assert draws[0] == draws[1] != draws[2]


def test_one_video_has_no_interval():
    assert np.isnan(bootstrap_interval(np.ones(1), np.ones(1), 10, seed=0)).all()


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
