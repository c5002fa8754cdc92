"""Nearest frames, coarse boxes and draws beside the published program's."""

import json

import numpy as np
import pytest

from spot.state.nearest_frames import nearest
from spot.state.store import PseudoLabels, StateStore
from spot.supervision.coarse_boxes import NearestOrInterpolated
from spot.supervision.exploration import Exploration
from spot.supervision.frame_sampler import ReviewAndPropagate
from tests.paths import GOLDEN, PARITY_DATA, requires_shared

coarse_box = NearestOrInterpolated()
EXCERPT = json.loads((PARITY_DATA / "state.json").read_text())


def golden(name: str, source: str) -> dict:
    """An excerpt that comes with the tests, or all of it where the shared data are."""
    return EXCERPT[name] if source == "excerpt" else json.loads((GOLDEN / f"{name}.json").read_text())


sources = pytest.mark.parametrize("source", ["excerpt", pytest.param("shared", marks=requires_shared)])


def state_of(folder, length: int, ids, boxes=None):
    """One path with these explored frames, the first of which is a key frame; the store rounds boxes to 0.1 px."""
    ids = np.asarray(ids)
    boxes = np.zeros((len(ids), 4), np.float32) if boxes is None else np.asarray(boxes, np.float32)
    rest = PseudoLabels(np.zeros(len(ids) - 1, np.int64), ids[1:], boxes[1:], np.full(len(ids) - 1, 0.9, np.float32))
    return StateStore.create(folder, [("v", 0)], [length], [ids[:1]], [boxes[:1]], rest).at(0)


@sources
def test_nearest_frames(source):
    for case in golden("g_nearest_interp", source)["find_nearest"]:
        ids = np.array(case["candidate"], np.int32)
        found = np.array([ids[list(nearest(ids, target))] for target in case["targets"]])
        assert found[:, 0].tolist() == case["nearest"]
        assert found[:, 1].tolist() == case["second"]


@sources
def test_coarse_boxes(source, tmp_path):
    """The published function interpolates in float32, as ours does."""
    cases = golden("g_nearest_interp", source)
    interpolated = 0
    for i, (case, boxes) in enumerate(zip(cases["find_nearest"], cases["linear_interpolation"], strict=True)):
        given = np.array([boxes["boxes"][str(frame)] for frame in case["candidate"]], np.float32)
        path = state_of(tmp_path / str(i), 10_000, case["candidate"], given).target(0)
        np.testing.assert_array_equal(path.boxes, given)
        for target, expected in zip(case["targets"], boxes["out"], strict=True):
            np.testing.assert_allclose(coarse_box(path, target), expected, rtol=0, atol=1e-4)
        pairs = zip(case["nearest"], case["second"], case["targets"], strict=True)
        interpolated += sum(0 < abs(a - b) <= coarse_box.limit and t not in (a, b) for a, b, t in pairs)
    assert interpolated > 3


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sample chi-square of equally large histograms, in standard deviations above its mean."""
    cells = ours + theirs > 0
    statistic = ((ours - theirs)[cells] ** 2 / (ours + theirs)[cells]).sum()
    free = max(cells.sum() - 1, 1)
    return (statistic - free) / np.sqrt(2 * free)


STATES = ["S0_init_3_keys", "S1_block", "S2_full", "S3_every_second", "S4_single_at_0"]


@pytest.mark.parametrize("name", STATES)
def test_draws_of_step_one(name, tmp_path):
    case = EXCERPT["g_sampling_distribution"][f"{name}_r1"]
    drawn = draws(tmp_path, case)
    for ours, theirs in ((drawn[:, 0], case["hist_search"]), (drawn[:, 1], case["hist_relay_template"])):
        assert distance(np.bincount(ours, minlength=case["seq_length"]), np.array(theirs)) < 4
    assert abs(drawn[:, 2].mean() - case["propagating_fraction"]) < 0.015


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("step", [2, 5])
def test_draws_of_greater_steps_reach_what_the_published_ones_miss(name, step, tmp_path):
    """Published, a frame within r//2 of an explored one counts as explored and is never drawn; here it is drawn."""
    case = EXCERPT["g_sampling_distribution"][f"{name}_r{step}"]
    drawn = draws(tmp_path, case, 4000)
    ids = np.array(case["relay_frame_ids"])
    ours = np.bincount(drawn[:, 0], minlength=case["seq_length"]) > 0
    theirs = np.array(case["hist_search"]) > 0
    away = np.abs(np.arange(case["seq_length"])[:, None] - ids).min(1)
    assert ours.tolist() == (away <= step).tolist()
    assert theirs.tolist() == ((away == 0) | ((away > step // 2) & (away <= step))).tolist()
    explored = len(ids) / case["seq_length"]
    assert abs(drawn[:, 2].mean() - (1 - explored)) < 0.03
    if name == "S3_every_second":
        assert case["propagating_fraction"] == 0


def draws(folder, case: dict, count: int | None = None) -> np.ndarray:
    state = state_of(folder / "s", case["seq_length"], case["relay_frame_ids"])
    rng = np.random.default_rng(0)
    explore = Exploration(ReviewAndPropagate(case["propagating_step"]))
    drawn = [explore(state.target(0), rng) for _ in range(count or case["draws"])]
    return np.array([(d.frame, d.relay, d.propagated) for d in drawn], np.int64)
