"""The fast one-pass evaluation against the same rules spelled out frame by frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.evaluation import scoring
from spot.evaluation.protocols import PROTOCOLS, default_protocol, get_protocol
from spot.evaluation.scoring import score
from spot.runtime.errors import SpotError
from tests.evaluation import plain
from tests.evaluation.helpers import truth_from, wandering

FAMILIES = {"LaSOT": "lasot", "UAV123": "uav", "OTB100": "other"}


def check(protocol, truth, trackers, exclude_invalid=False):
    """All curves of all trackers and videos equal the spelled-out ones."""
    family = FAMILIES[truth.benchmark]
    for boxes, scores in zip(trackers, score(truth, trackers, get_protocol(protocol, exclude_invalid)), strict=True):
        for v, name in enumerate(truth.names):
            rows = truth.rows(name)
            expected = plain.curves(
                protocol, truth.boxes[rows], boxes[rows], truth.visible[rows], family, exclude_invalid
            )
            for curve, wanted in zip(
                (scores.success, scores.precision, scores.normalized_precision), expected, strict=True
            ):
                np.testing.assert_allclose(curve[v], wanted, rtol=0, atol=1e-12)


def awkward_video(rng, whole):
    """A wandering target with everything that toolkits disagree on."""
    boxes = wandering(rng, 60, whole)
    boxes[10:13] = 0  # absent, as LaSOT writes it
    boxes[20, :2] = [-30, 5]  # sticks out at the left
    boxes[21] = [10, 10, 0, 5]  # no area, though visible
    boxes[22, :2] = [0, 0]  # touches the border
    visible = np.ones(60, bool)
    visible[10:13] = False
    visible[30:32] = False  # hidden, but annotated
    return boxes, visible


def awkward_tracker(rng, truth, whole):
    boxes = truth + rng.normal(0, 6, truth.shape) * [1, 1, 0.3, 0.3]
    boxes = np.rint(boxes) if whole else np.round(boxes, 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
    boxes[5] = truth[5]  # exactly right
    boxes[6] = truth[6] + [3, 4, 0, 0]  # exactly 5 px off
    boxes[7] = truth[7] + [truth[7, 2], 0, 0, 0]  # edges touch
    boxes[8, 2:] = 0  # empty predictions
    boxes[9] = truth[9] + [500, 0, 0, 0]  # lost
    boxes[40] = truth[40] * [1, 1, 0.5, 1]  # overlap exactly 0.5
    return boxes


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("benchmark", FAMILIES)
@pytest.mark.parametrize("whole", [True, False], ids=["whole pixels: many ties", "two decimals: rounding noise"])
def test_agrees_with_the_rules_spelled_out(protocol, benchmark, whole):
    rng = np.random.default_rng(3)
    videos = [awkward_video(rng, whole) for _ in range(4)]
    if benchmark == "UAV123":
        for boxes, _ in videos:
            boxes[50:55] = np.nan  # UAV123's way to say absent
    truth = truth_from([b for b, _ in videos], [v for _, v in videos], benchmark)
    trackers = [
        np.asfortranarray(np.concatenate([awkward_tracker(rng, np.nan_to_num(b), whole) for b, _ in videos]))
        for _ in range(2)
    ]
    check(protocol, truth, trackers)


@pytest.mark.parametrize("protocol", ["pytracking", "stark"])
def test_invalid_frames_can_be_left_out_of_the_denominator(protocol):
    rng = np.random.default_rng(4)
    boxes, visible = awkward_video(rng, True)
    truth = truth_from([boxes], [visible], "LaSOT")
    check(protocol, truth, [awkward_tracker(rng, boxes, True)], exclude_invalid=True)


@pytest.mark.parametrize("protocol", ["pysot", "got10k"])
def test_exclude_invalid_is_refused_where_the_toolkit_lacks_it(protocol):
    with pytest.raises(SpotError, match="exclude_invalid"):
        get_protocol(protocol, exclude_invalid=True)


boxes_strategy = st.lists(
    st.tuples(*[st.integers(-20, 60)] * 2, *[st.integers(0, 40)] * 2, *[st.integers(-6, 6)] * 4),
    min_size=2,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(rows=boxes_strategy, quarter=st.sampled_from([1.0, 0.25, 0.1]), protocol=st.sampled_from(PROTOCOLS))
def test_any_boxes_on_a_grid(rows, quarter, protocol):
    """Grid coordinates hit thresholds exactly, where single precision alone would fall on the wrong side."""
    table = np.array(rows, np.float64)
    boxes = np.round(table[:, :4] * quarter, 3)
    predicted = np.round((table[:, :4] + table[:, 4:]) * quarter, 3)
    predicted[:, 2:] = np.maximum(predicted[:, 2:], 0)
    boxes[0] = [5, 5, 10, 10]  # a video starts with a box
    check(protocol, truth_from([boxes], benchmark="OTB100"), [np.asfortranarray(predicted)])


@pytest.mark.parametrize("scale", [1e-2, 1.0, 4000.0], ids=["tiny", "usual", "huge frames"])
def test_single_precision_never_decides_a_tie(scale):
    """Random boxes of any size: no frame may land in another bin than with double precision."""
    rng = np.random.default_rng(5)
    boxes = (rng.uniform(0.2, 1, (3000, 4)) * scale + [scale * 3, scale * 3, 0, 0]).round(4)
    predicted = (boxes + rng.normal(0, 0.15, boxes.shape) * scale).round(4)
    predicted[:, 2:] = np.abs(predicted[:, 2:])
    check("pysot", truth_from([boxes], benchmark="OTB100"), [predicted])


def test_blocks_do_not_show(monkeypatch):
    """Videos that end in the middle of a block, or are longer than one, give the same scores."""
    rng = np.random.default_rng(6)
    lengths = [3, 200, 1, 64, 65, 7]
    boxes = [wandering(rng, n) for n in lengths]
    truth = truth_from(boxes)
    predicted = np.asfortranarray(truth.boxes + rng.normal(0, 5, truth.boxes.shape))
    predicted[:, 2:] = np.abs(predicted[:, 2:])
    whole = score(truth, [predicted], get_protocol("got10k"))[0]
    monkeypatch.setattr(scoring, "BLOCK", 64)
    parts = score(truth, [predicted], get_protocol("got10k"))[0]
    for key, values in whole.per_video().items():
        np.testing.assert_array_equal(parts.per_video()[key], values, err_msg=key)


def test_average_overlap_leaves_out_the_first_frame_and_absent_ones():
    truth = truth_from([np.tile([0.0, 0, 10, 10], (4, 1))], [np.array([True, True, False, True])])
    predicted = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]], float)
    scores = score(truth, [predicted], get_protocol("got10k"))[0]
    summary = scores.summary()
    assert summary["ao"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-6)
    assert summary["sr50"] == 0.5
    assert scores.present.tolist() == [2]


def test_frames_weigh_alike_in_ao_and_videos_in_mao():
    truth = truth_from([np.tile([0.0, 0, 10, 10], (n, 1)) for n in (2, 5)])
    predicted = np.concatenate([np.tile([0.0, 0, 10, 10], (2, 1)), np.tile([50.0, 0, 10, 10], (5, 1))])
    summary = score(truth, [predicted], get_protocol("got10k"))[0].summary()
    assert summary["ao"] == pytest.approx(1 / 5, abs=1e-7)
    assert summary["mao"] == pytest.approx(1 / 2, abs=1e-7)
    assert summary["msr50"] == 0.5


def test_no_frame_to_count_is_named():
    boxes = [wandering(np.random.default_rng(0), 5), np.full((5, 4), np.nan)]
    with pytest.raises(SpotError, match="video v1"):
        score(truth_from(boxes), [np.nan_to_num(np.concatenate(boxes))], get_protocol("got10k"))


def test_predictions_that_are_not_numbers_are_named():
    truth = truth_from([wandering(np.random.default_rng(0), 5) for _ in range(3)])
    predicted = truth.boxes.copy()
    predicted[7, 0] = np.nan
    with pytest.raises(SpotError, match="v1: a predicted box is not a number"):
        score(truth, [predicted], get_protocol("pysot"))


def test_negative_sizes_are_refused_as_pytracking_does():
    truth = truth_from([wandering(np.random.default_rng(0), 5)])
    predicted = truth.boxes.copy()
    predicted[2, 3] = -1
    with pytest.raises(SpotError, match="v0: negative box size"):
        score(truth, [predicted], get_protocol("pytracking"))


def test_unknown_protocol_is_named_with_the_choices():
    with pytest.raises(SpotError, match="protocol=otb is unknown; choose from: pysot"):
        get_protocol("otb")


@pytest.mark.parametrize(("benchmark", "expected"), [("GOT-10k_val", "got10k"), ("LaSOT", "pysot")])
def test_default_is_what_the_official_toolkit_does(benchmark, expected):
    assert default_protocol(benchmark) == expected
