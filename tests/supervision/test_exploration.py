"""Draws: only legal frames, each as likely as it should be, at the same cost whatever is explored."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.state.nearest_frames import nearest_key
from spot.state.store import PseudoLabels, SamplerState, StateStore
from spot.supervision.coarse_boxes import NearestOrInterpolated
from spot.supervision.exploration import Exploration
from spot.supervision.frame_sampler import ReviewAndPropagate, unexplored_neighbour
from spot.supervision.relays import KeyFrameRelay, relay_choice

coarse_box = NearestOrInterpolated()


def state_of(folder, paths: list[tuple[int, list[int]]], keys: int = 1) -> SamplerState:
    """Paths given as length and explored frames, the first `keys` of which are key frames; boxes as `box_of`."""
    rows = [(p, frame) for p, (_, ids) in enumerate(paths) for frame in ids[keys:]]
    path, frame = np.array(rows, np.int64).reshape(-1, 2).T
    explored = PseudoLabels(path, frame, box_of(frame), np.full(len(rows), 0.9, np.float32))
    key_ids = [np.array(ids[:keys]) for _, ids in paths]
    names = [(f"v{p}", 0) for p in range(len(paths))]
    lengths = [n for n, _ in paths]
    return StateStore.create(folder / "s", names, lengths, key_ids, [box_of(k) for k in key_ids], explored).at(0)


def box_of(frames: np.ndarray) -> np.ndarray:
    return np.asarray(frames)[:, None] * np.float32([10, 1, 0, 0]) + np.float32([0, 0, 20, 30])


def candidates(length: int, ids: list[int], step: int) -> set[int]:
    """docs/method.md section 4: unexplored frames within `step` of an explored one."""
    near = {i + d for i in ids for d in range(-step, step + 1)}
    return {i for i in near if 0 <= i < length} - set(ids)


def draw(state, index, rng, step=1):
    return Exploration(ReviewAndPropagate(step))(state.target(index), rng)


class Scripted:
    """Stands for a Generator whose next numbers are known."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = numbers

    def random(self) -> float:
        return self.numbers.pop(0)


@st.composite
def videos(draw_):
    length = draw_(st.integers(1, 40))
    return length, sorted(draw_(st.sets(st.integers(0, length - 1), min_size=1)))


@settings(max_examples=100, deadline=None)
@given(video=videos(), step=st.integers(1, 7))
def test_each_candidate_is_exactly_as_likely_as_the_others(video, step, tmp_path_factory):
    """Goes through all slots that the draw picks from: each candidate has one, and the refused ones have none."""
    length, ids = video
    if len(ids) == length:
        return
    state = state_of(tmp_path_factory.mktemp("draw"), [video])
    gaps = len(state.target(0).gaps)
    slots = min(ids[0], step) + min(length - 1 - ids[-1], step) + 2 * step * gaps
    drawn = []
    for slot in range(slots):
        with contextlib.suppress(IndexError):  # refused: it asks for another number
            drawn.append(unexplored_neighbour(state.target(0), Scripted([(slot + 0.5) / slots]), step))
    assert sorted(drawn) == sorted(candidates(length, ids, step))


@settings(max_examples=50, deadline=None)
@given(video=videos(), step=st.integers(0, 60), seed=st.integers(0, 9))
def test_draws_are_legal(video, step, seed, tmp_path_factory):
    length, ids = video
    state = state_of(tmp_path_factory.mktemp("draw"), [(5, [2]), video])
    rng = np.random.default_rng(seed)
    for _ in range(30):
        drawn = draw(state, 1, rng, step)
        assert drawn.relay in ids
        assert drawn.frame in (candidates(length, ids, step) if drawn.propagated else ids)
        assert not (drawn.propagated and (step == 0 or len(ids) == length))


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    """How many standard deviations the statistic lies above its mean; cells without expectation must be empty."""
    assert counts[expected == 0].sum() == 0
    cells = expected > 0
    statistic = ((counts[cells] - expected[cells]) ** 2 / expected[cells]).sum()
    free = cells.sum() - 1
    return (statistic - free) / np.sqrt(2 * free)


@pytest.mark.parametrize(
    ("length", "ids"),
    [
        pytest.param(60, [5, 30, 55], id="three key frames"),
        pytest.param(60, [*range(10, 21), 40, 59], id="a block, and the last frame"),
        pytest.param(60, list(range(0, 60, 2)), id="every second frame: the published rule stops here for r >= 2"),
        pytest.param(30, [0], id="the first frame alone"),
        pytest.param(20, list(range(20)), id="everything"),
        pytest.param(40, [0, 1, 5, 20, 24, 39], id="gaps shorter and longer than two steps"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_the_distribution_is_the_methods(tmp_path, length, ids, step):
    state, rng, count = state_of(tmp_path, [(length, ids)]), np.random.default_rng(0), 8000
    drawn = [draw(state, 0, rng, step) for _ in range(count)]
    share, near = len(ids) / length, sorted(candidates(length, ids, step))
    frames, relays = np.zeros(length), np.zeros(length)
    frames[ids] = share / len(ids)
    frames[near] = (1 - share) / max(len(near), 1)
    relays[ids] = 1 / len(ids)
    if len(ids) > 1:
        assert chi_square(np.bincount([d.relay for d in drawn], minlength=length), count * relays) < 4
    assert chi_square(np.bincount([d.frame for d in drawn], minlength=length), count * frames) < 4
    assert abs(np.mean([d.propagated for d in drawn]) - (1 - share)) < 0.02


def test_draws_follow_from_the_generator_alone(tmp_path):
    state = state_of(tmp_path, [(300, [3, 50, 51, 200])])
    np.random.seed(0)  # noqa: NPY002  # must make no difference
    first = [draw(state, 0, np.random.default_rng(i), 3) for i in range(50)]
    np.random.seed(1)  # noqa: NPY002
    again = [draw(state, 0, np.random.default_rng(i), 3) for i in range(50)]
    assert [(d.frame, d.relay) for d in first] == [(d.frame, d.relay) for d in again]
    assert len({(d.frame, d.relay) for d in first}) > 10


def test_a_draw_needs_few_numbers_whatever_is_explored(tmp_path):
    """At most 2 * step tries on average, for short and long videos, hardly and nearly wholly explored."""
    rng = np.random.default_rng(0)
    targets = []
    for length in (100, 100_000):
        for fraction in (0.01, 0.5, 0.99):
            targets.append(
                (length, np.sort(rng.choice(length, max(int(fraction * length), 1), replace=False)).tolist())
            )
    state = state_of(tmp_path, targets)
    for step in (1, 8):
        for index in range(len(targets)):
            counted = Counted(np.random.default_rng(1))
            for _ in range(300):
                draw(state, index, counted, step)
            assert counted.count <= 300 * (2 + 2 * step) * 1.3


class Counted:
    """Stands for a Generator and counts its numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.count = rng, 0

    def random(self) -> float:
        self.count += 1
        return self.rng.random()


def test_a_relay_is_an_explored_frame_or_the_key_frame_and_all_else_is_drawn_alike(tmp_path):
    state = state_of(tmp_path, [(300, [3, 50, 51, 200])])
    assert isinstance(relay_choice(False), KeyFrameRelay)
    both = [Exploration(relay=relay_choice(choice)) for choice in (True, False)]
    pairs = [[explore(state.target(0), np.random.default_rng(i)) for explore in both] for i in range(40)]
    assert all(a.frame == b.frame and a.key == b.key == b.relay == 3 for a, b in pairs)
    assert {a.relay for a, _ in pairs} == {3, 50, 51, 200}
    assert all(np.array_equal(b.relay_box, b.key_box) for _, b in pairs)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(20, 200, id="explored: its own"),
        pytest.param(23, 230, id="four apart: interpolated"),
        pytest.param(30, 290, id="five apart: the nearer"),
        pytest.param(31, 290, id="two from it"),
        pytest.param(32, 340, id="three to the next: the later one is nearer"),
        pytest.param(0, 200, id="before the first"),
        pytest.param(99, 600, id="behind the last"),
        pytest.param(47, 600, id="at equal distance the later"),
        pytest.param(46, 340, id="one before it"),
    ],
)
def test_coarse_boxes(tmp_path, frame, expected):
    path = state_of(tmp_path, [(100, [20, 22, 25, 29, 34, 60])]).target(0)
    box = coarse_box(path, frame)
    assert box.dtype == np.float32
    np.testing.assert_allclose(box, [expected, expected / 10, 20, 30], rtol=1e-6)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [(0, 20), (20, 20), (29, 20), (30, 40), (31, 40), (99, 40)],
)
def test_the_nearest_key_frame_gives_its_human_box(tmp_path, frame, expected):
    path = state_of(tmp_path, [(100, [20, 40, 30, 31])], keys=2).target(0)
    key, box = nearest_key(path, frame)
    assert key == expected
    np.testing.assert_array_equal(box, [10 * expected, expected, 20, 30])
    box[:] = 0  # the caller's own
    assert path.key_boxes.any()
