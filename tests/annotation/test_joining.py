"""One box a frame out of several candidates, its score, and the frames to label next."""

from dataclasses import replace

import numpy as np
import pytest

from spot.annotation.calibration import FEATURES, PRIOR, Calibration, fit_calibration, fit_logistic
from spot.annotation.candidates import BOXES, SCORES, empty_candidates
from spot.annotation.joining import LEAST_TRUST, absent_frames, box_iou, close_gaps, join, place_between_labels
from spot.annotation.suggestion import suggest_frames
from spot.data.box_table import BoxTable

LENGTH = 21
TRUTH = np.stack([[10 + 2 * i, 20 + i, 30, 40] for i in range(LENGTH)]).astype(np.float32)


def candidates(labelled=(0, 20), drift=None, scores=0.9):
    """Both directions find the truth; the forward one drifts away from frame `drift` on."""
    labelled = np.array(labelled)
    known = empty_candidates(LENGTH, labelled, TRUTH[labelled])
    inside = ~np.isin(np.arange(LENGTH), labelled)
    known.forward[inside], known.backward[inside] = TRUTH[inside], TRUTH[inside]
    known.forward_scores[inside] = known.backward_scores[inside] = scores
    if drift is not None:
        known.forward[drift:, 0] += 100
        known.forward_scores[drift:] = 0.3
    known.forward_lowest[:] = np.minimum.accumulate(np.where(inside, known.forward_scores, 1))
    known.backward_lowest[:] = np.minimum.accumulate(np.where(inside, known.backward_scores, 1)[::-1])[::-1]
    return known


def test_agreeing_directions_give_their_box_and_labels_stay():
    joined = join(candidates())
    assert box_iou(joined.boxes, TRUTH.astype(float)).min() > 0.95
    assert np.array_equal(joined.boxes[[0, 20]], TRUTH[[0, 20]].astype(float))


def test_a_direction_that_drifts_away_is_left_out():
    joined = join(candidates(drift=8))
    assert box_iou(joined.boxes, TRUTH.astype(float)).min() > 0.9
    agreement = joined.features[:, FEATURES.index("agreement")]
    assert agreement[5] > 0.9
    assert agreement[15] == 0


def test_a_pass_that_slips_is_put_right_by_its_arrival():
    """The error at the next label is known; before it, it has grown little by little."""
    known = candidates()
    slip = 12 * np.arange(LENGTH) / (LENGTH - 1)
    known.forward[:, 0] = TRUTH[:, 0] + slip
    known.forward[:, 1:] = TRUTH[:, 1:]
    known.backward[:] = np.nan
    corrected, trust = close_gaps(known, known.forward, 1)
    assert np.abs(corrected[1:20] - TRUTH[1:20]).max() < 0.01
    assert 0.3 < trust[10] < 0.6, "it arrived, but not well"
    assert box_iou(join(known).boxes, TRUTH.astype(float)).min() > 0.9


def test_a_pass_that_arrives_elsewhere_is_not_trusted():
    known = candidates(drift=8)
    known.forward[20] = TRUTH[20] + [100, 0, 0, 0]
    corrected, trust = close_gaps(known, known.forward, 1)
    assert np.array_equal(corrected[1:20], known.forward[1:20].astype(float))
    assert trust[10] == LEAST_TRUST


def test_a_frame_without_any_candidate_has_the_interpolated_box():
    known = empty_candidates(LENGTH, np.array([0, 20]), TRUTH[[0, 20]])
    assert join(known).boxes == pytest.approx(TRUTH, abs=1e-3)


def test_distances_and_interpolation():
    gaps = place_between_labels(candidates((5, 15)))
    assert gaps.before[5:16].tolist() == [*range(10), 0]
    assert gaps.after[5:16].tolist() == [0, *range(9, -1, -1)]
    assert np.array_equal(gaps.interpolated[2], TRUTH[5].astype(float)), "outside: the nearest label"
    assert gaps.interpolated[10] == pytest.approx(TRUTH[10])


def test_absent_between_absent_labels_and_outside_of_them():
    known = candidates((4, 8, 12, 16))
    labels = known.labels.copy()
    labels[[0, 1]] = np.nan
    absent = np.flatnonzero(absent_frames(replace(known, labels=labels)))
    assert absent.tolist() == list(range(9)), "before the first label, and up to the second"


def test_scores_follow_the_evidence():
    good, bad = (join(candidates(drift=drift)).features for drift in (None, 8))
    model = fit_calibration([], np.concatenate([good, bad]))
    assert np.array_equal(model.coefficients, PRIOR)
    good, bad = model.probability(good), model.probability(bad)
    assert good[15] > 0.8
    assert bad[15] < good[15]


def test_a_box_of_another_size_than_between_its_labels_is_doubtful():
    known, larger = candidates(), candidates()
    larger.forward[5:16, 2:] *= 2
    assert join(larger).features[10, FEATURES.index("size_change")] == pytest.approx(0, abs=1e-6), "one pass may err"
    larger.backward[5:16, 2:] *= 2
    both = join(larger).features
    assert both[10, FEATURES.index("size_change")] == pytest.approx(2 * np.log(2))
    model = fit_calibration([], np.concatenate([join(known).features, both]))
    assert model.probability(both)[10] < model.probability(join(known).features)[10]


def test_hidden_labels_move_the_model():
    """Where tracked labels are wrong again and again, scores fall."""
    right, wrong = candidates(scores=0.2), candidates(scores=0.2)
    one = lambda known: replace(known, first=10, **{n: getattr(known, n)[10:11] for n in (*BOXES, *SCORES)})  # noqa: E731
    project = join(right).features
    fine = fit_calibration([(one(right), TRUTH[10])] * 20, project)
    poor = fit_calibration([(one(wrong), TRUTH[10] + [200, 0, 0, 0])] * 20, project)
    features = join(one(right)).features
    prior = Calibration(PRIOR, ranked=fine.ranked).probability(features)[0]
    assert fine.probability(features)[0] >= prior > poor.probability(features)[0]
    assert (fine.examples, fine.right, poor.right) == (20, 20, 0)


def test_scores_do_not_depend_on_the_range_of_a_trackers_scores():
    rng = np.random.default_rng(0)
    known = candidates(drift=8, scores=rng.random(LENGTH - 2).astype(np.float32))
    features = join(known).features
    other = features.copy()
    for name in ("lower_score", "surer_pass"):
        other[:, FEATURES.index(name)] = 0.3 + 0.1 * features[:, FEATURES.index(name)] ** 3
    first, second = (fit_calibration([], each).probability(each) for each in (features, other))
    assert np.allclose(first, second)
    assert np.ptp(first) > 0.05


def test_fit_recovers_known_coefficients():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 2))
    chance = 1 / (1 + np.exp(-(0.5 + features @ [2.0, -1.0])))
    fitted = fit_logistic(features, rng.random(4000) < chance, prior=np.zeros(3), spread=100.0)
    assert fitted == pytest.approx([0.5, 2.0, -1.0], abs=0.2)


def dense(scores: dict[str, list[float]], labelled: dict[str, list[int]]) -> BoxTable:
    video = [name for name, values in scores.items() for _ in values]
    frame = [i for values in scores.values() for i in range(len(values))]
    human = [i in labelled[name] for name, values in scores.items() for i in range(len(values))]
    flat = np.array([value for values in scores.values() for value in values])
    return BoxTable.build(video, [1] * len(video), frame, [[1, 1, 5, 5]] * len(video), np.where(human, 1, flat), human)


def test_suggestions_go_where_boxes_are_weak():
    weak = [0.9] * 40 + [0.2] * 20 + [0.9] * 40
    table = dense({"a": [0.95] * 100, "b": weak}, {"a": [10, 50, 90], "b": [10, 35, 90]})
    (video, target, frame), *rest = suggest_frames(table, 5)
    assert (video, target) == ("b", 1)
    assert 42 <= frame <= 60
    assert len(rest) == 4


def test_suggestions_keep_their_distance_and_end():
    table = dense({"a": [0.1] * 48}, {"a": [24]})
    chosen = sorted(frame for *_, frame in suggest_frames(table, 100))
    gaps = np.diff([*chosen[: chosen.index(next(f for f in chosen if f > 24))], 24])
    assert (gaps >= 48 // 8).all(), "none within n / 8k of another label"
    assert 2 <= len(chosen) <= 8
    assert suggest_frames(table, 2) == suggest_frames(table, 100)[:2]


def test_suggestions_divide_the_longest_gap_and_count_an_open_end_twice():
    even = [0.5] * 120
    (_, _, between), *_ = suggest_frames(dense({"a": even}, {"a": [0, 40, 119]}), 1)
    assert abs(between - 79.5) <= 1, "the middle of the longer gap"
    (_, _, end), *_ = suggest_frames(dense({"a": even}, {"a": [0, 62]}), 1)
    assert abs(end - 62 - 2 / 3 * 58) <= 1, "57 frames tracked from one side count more than 61 between two labels"


def test_nothing_is_suggested_where_all_is_labelled():
    assert suggest_frames(dense({"a": [1.0] * 5}, {"a": [0, 1, 2, 3, 4]}), 3) == []
