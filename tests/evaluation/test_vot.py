"""VOT's measures on cases small enough to work out by hand."""

import numpy as np
import pytest

from spot.evaluation.vot.long_term import long_term_scores
from spot.evaluation.vot.supervised import (
    Run,
    accuracy_robustness,
    after_burn_in,
    expected_average_overlap,
    expected_overlap,
)
from spot.runtime.errors import SpotError


def run(codes, overlap=0.5, video=0):
    codes = np.array(codes)
    return Run(video, codes, np.where(codes == -1, overlap, np.nan))


def test_burn_in_follows_every_start():
    codes = [1] + [-1] * 14 + [2, 0, 0, 0, 0, 1] + [-1] * 14
    known = np.flatnonzero(~np.isnan(after_burn_in(run(codes), run(codes).overlaps)))
    assert known.tolist() == [*range(10, 15), *range(30, 35)]


def test_accuracy_is_over_frames_and_failures_over_videos():
    lucky, unlucky = run([1] + [-1] * 19, 0.8), run([1] + [-1] * 13 + [2, 0, 0, 0, 0, 1], 0.2, video=1)
    scores = accuracy_robustness([lucky, unlucky], 2)
    assert scores.accuracy == pytest.approx((10 * 0.8 + 4 * 0.2) / 14)
    assert scores.failures == 1
    assert scores.robustness == pytest.approx(100 / 40)
    assert scores.video_failures.tolist() == [0, 1]


def test_repetitions_are_averaged_before_frames():
    runs = [run([1] + [-1] * 19, overlap) for overlap in (0.4, 0.8)]
    runs.append(run([1] + [-1] * 4 + [2] + [0] * 4 + [1] + [-1] * 9, 0.9))
    scores = accuracy_robustness(runs, 1)
    assert scores.accuracy == pytest.approx(0.6)
    assert scores.failures == pytest.approx(1 / 3)


def test_expected_overlap_of_a_run_without_failure_is_its_mean():
    one = Run(0, np.array([1, -1, -1, -1]), np.array([np.nan, 0.9, 0.6, 0.3]))
    curve = expected_overlap([one], [np.ones(4, bool)])
    np.testing.assert_allclose(curve, [1, 0.9, 0.75, 0.6])


def test_a_failure_means_overlap_zero_for_ever():
    """The stretch before the failure counts at every length, the one after it up to the video's end."""
    codes = np.array([1, -1, 2, 0, 0, 0, 0, 1, -1, -1])
    one = Run(0, codes, np.where(codes == -1, 1.0, np.nan))
    curve = expected_overlap([one], [np.ones(10, bool)])
    failed = np.array([1, *(1 / i for i in range(1, 10))])  # one good frame, then nothing
    survivor = [1, 1, 1]
    np.testing.assert_allclose(curve[1:3], (failed[1:3] + survivor[1:3]) / 2)
    np.testing.assert_allclose(curve[3:], failed[3:])


def test_a_failure_five_frames_before_the_end_of_a_short_video():
    """The restart falls behind the last frame: the failed stretch counts, an empty one is not begun."""
    long = Run(0, np.array([1] + [-1] * 11), np.r_[np.nan, np.ones(11)])
    codes = np.array([1, -1, -1, 2, 0, 0, 0, 0])
    short = Run(1, codes, np.where(codes == -1, 1.0, np.nan))
    curve = expected_overlap([long, short], [np.ones(12, bool), np.ones(8, bool)])
    weight = 8 / 9  # the toolkit divides by one frame more than the video has
    np.testing.assert_allclose(curve[1:3], 1)
    np.testing.assert_allclose(curve[10], (1 + weight * 2 / 10) / (1 + weight))


def test_tags_weigh_the_stretches():
    runs = [Run(v, np.array([1, -1]), np.array([np.nan, overlap])) for v, overlap in enumerate((0.2, 0.8))]
    tags = [np.array([True, True]), np.array([False, True])]
    assert expected_overlap(runs, tags)[1] == pytest.approx((0.2 + 0.5 * 0.8) / 1.5)


def test_eao_needs_a_benchmark_with_published_lengths():
    curve = np.linspace(1, 0, 400)
    assert expected_average_overlap(curve, "VOT2019") == pytest.approx(curve[45:291].mean())
    assert np.isnan(expected_average_overlap(curve[:20], "VOT2019"))
    with pytest.raises(SpotError, match="not for VOT2021"):
        expected_average_overlap(curve, "VOT2021")


def test_long_term_threshold_drops_what_is_not_sure():
    """Right where it is sure, wrong where it is not: the best threshold lies between."""
    overlaps = np.array([np.nan] + [0.9] * 100 + [0.0] * 100)
    confidences = np.array([np.nan] + [0.8] * 100 + [0.3] * 100)
    present = np.array([True] * 101 + [False] * 100)
    scores = long_term_scores(overlaps, confidences, present, np.array([0, 201]))
    assert scores.precision == pytest.approx(0.9)
    assert scores.recall == pytest.approx(90 / 101)
    assert scores.f1 == pytest.approx(2 * 0.9 * (90 / 101) / (0.9 + 90 / 101))


@pytest.mark.parametrize("confidence", [0.0, 1.0], ids=["never sure", "always sure"])
def test_long_term_with_one_confidence_for_all(confidence):
    scores = long_term_scores(np.full(10, 0.5), np.full(10, confidence), np.ones(10, bool), np.array([0, 10]))
    assert 0 <= scores.f1 <= 0.5
