"""The store: merging, versions, refusals."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.runtime.errors import SpotError
from spot.state.store import CommitReport, PseudoLabels, StateStore
from tests.state.plain import (
    assert_same,
    content,
    exploration,
    key_frames,
    make_store,
    merge,
    random_results,
    start,
)

BOX = [1.0, 2.0, 3.0, 4.0]
NOTHING = exploration([])


@st.composite
def histories(draw):
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    result = st.integers(0, len(lengths) - 1).flatmap(
        lambda p: st.tuples(
            st.just(p),
            st.integers(0, lengths[p] - 1),
            st.lists(st.floats(-5, 500, width=32), min_size=4, max_size=4),
            st.one_of(st.sampled_from([0.82, 0.9, 1.0]), st.floats(0, 1, width=32)),
        )
    )
    return lengths, draw(st.lists(st.lists(result, max_size=25), min_size=1, max_size=4))


@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_commits_equal_the_method_written_with_dicts(history, tmp_path_factory):
    lengths, epochs = history
    folder = tmp_path_factory.mktemp("state") / "s"
    store = make_store(folder, lengths)
    ids, boxes = key_frames(lengths)
    plain = start(ids, boxes)
    assert_same(content(store.at(0)), plain)
    for epoch, rows in enumerate(epochs, 1):
        results = exploration(rows)
        report = store.commit(results, epoch)
        assert tuple(report) == merge(plain, ids, results)
        state = store.at(epoch)
        assert_same(content(state), plain)
        assert state.explored_counts.tolist() == [len(path) for path in plain]
        for p in range(len(lengths)):
            path = state.target(p)
            gaps = [i for i, (a, b) in enumerate(zip(path.ids, path.ids[1:], strict=False)) if b - a > 1]
            assert path.gaps.tolist() == gaps
    store.verify()


@pytest.mark.parametrize(
    ("confidences", "kept", "report"),
    [
        pytest.param([0.5], 0, (1, 0, 0), id="a new frame is inserted whatever its confidence"),
        pytest.param([0.5, 0.5], 0, (1, 0, 1), id="an equal confidence does not replace"),
        pytest.param([0.5, 0.50004], 0, (1, 0, 1), id="confidences are compared as they are stored, to 1e-4"),
        pytest.param([0.5, 0.5002], 1, (1, 1, 0), id="a higher one replaces within the epoch"),
        pytest.param([0.9, 0.5, 0.7], 0, (1, 0, 2), id="a lower one never does"),
        pytest.param([0.5, 0.7, 0.6, 0.8, 0.8], 3, (1, 2, 2), id="each is compared with what is stored at that moment"),
    ],
)
def test_results_on_one_frame_count_in_their_order(tmp_path, confidences, kept, report):
    store = make_store(tmp_path / "s", [10])
    rows = [(0, 7, [i, 0, 0, 0], c) for i, c in enumerate(confidences)]
    assert store.commit(exploration(rows), 1) == CommitReport(*report)
    path = store.at(1).target(0)
    assert path.boxes[path.ids.tolist().index(7), 0] == kept


def test_key_frames_are_never_touched(tmp_path):
    store = make_store(tmp_path / "s", [10])
    assert store.commit(exploration([(0, 5, [9, 9, 9, 9], 1.5)]), 1) == CommitReport(0, 0, 1)
    assert store.at(1).target(0).box(1).tolist() == [5, 6, 7, 8]


def test_numbers_are_rounded_as_published(tmp_path):
    """To the even neighbour where a value lies half-way, like Python's round of the same float32."""
    values = np.float32([20.25, 20.75, 0.05, 99.95, -0.04, 30.35, 1e4 + 0.25, 7.0])
    store = make_store(tmp_path / "s", [10])
    store.commit(exploration([(0, 0, values[:4], 0.99995), (0, 2, values[4:], 0.87654)]), 1)
    path = store.at(1).target(0)
    rounded = np.float32([round(float(v), 1) for v in values])
    np.testing.assert_array_equal(path.boxes[[0, 2]].ravel(), rounded)
    assert not np.signbit(path.boxes[2, 0])
    np.testing.assert_array_equal(path.confidences[[0, 2]], np.float32([0.9999, 0.8765]))


def test_each_epoch_sees_the_version_in_force(tmp_path):
    store = make_store(tmp_path / "s", [50])
    for epoch in (3, 4, 9):
        store.commit(exploration([(0, epoch, BOX, 0.9)]), epoch)
    versions = {epoch: store.at(epoch).version for epoch in (0, 2, 3, 4, 8, 9, 100)}
    assert versions == {0: 0, 2: 0, 3: 1, 4: 2, 8: 2, 9: 3, 100: 3}
    assert [store.at(e).explored_counts[0] for e in (0, 3, 4, 9)] == [3, 4, 5, 6]


def test_an_older_version_stays_as_it_was(tmp_path):
    """Through appends to the shared log, a fresh log, and the removal of files under an open handle."""
    rng = np.random.default_rng(0)
    store = make_store(tmp_path / "s", [40, 60])
    store.commit(random_results(rng, [40, 60], 50), 1)
    early, before = store.at(1), content(store.at(1))
    for epoch in range(2, 8):
        store.commit(random_results(rng, [40, 60], 50), epoch)
    assert len(list((tmp_path / "s").glob("records-*.log"))) > 1, "the test should reach a fresh log"
    assert content(early) == content(store.at(1)) == before
    store.prune()
    assert content(early) == before


def test_an_epoch_is_committed_once(tmp_path):
    store = make_store(tmp_path / "s", [10])
    store.commit(NOTHING, 4)
    for epoch in (4, 3, 0):
        with pytest.raises(SpotError, match="already at epoch 4"):
            store.commit(NOTHING, epoch)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param((2, 0, BOX, 0.9), "target 2", id="a path that is not there"),
        pytest.param((-1, 0, BOX, 0.9), "target -1", id="a negative path would count from the end"),
        pytest.param((0, 10, BOX, 0.9), "result 1 is frame 10 of target 0", id="behind the video"),
        pytest.param((0, -1, BOX, 0.9), "frame -1", id="before the video, in the rows of another"),
        pytest.param((0, 1, [1, 2, np.nan, 4], 0.9), "nan", id="a box that is not finite"),
        pytest.param((0, 1, BOX, np.nan), "nan", id="nan compares as neither higher nor lower"),
    ],
)
def test_a_result_that_cannot_be_is_refused(tmp_path, row, says):
    store = make_store(tmp_path / "s", [10, 20])
    with pytest.raises(ValueError, match=says):
        store.commit(exploration([(1, 1, BOX, 0.9), row]), 1)
    assert store.at(1).version == 0


def test_continuing_from_an_old_version_gives_the_same_files(tmp_path):
    lengths = [30, 5, 80]
    results = [random_results(np.random.default_rng(e), lengths, 40) for e in range(9)]
    store = make_store(tmp_path / "s", lengths)

    def files() -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in (tmp_path / "s").iterdir()}

    for epoch in range(1, 4):
        store.commit(results[epoch], epoch)
    resumed = store.at(3)
    for epoch in range(4, 9):
        store.commit(results[epoch], epoch)
    expected = files()
    for _ in range(2):  # from the end, then from an end that was made by other results
        store.rollback(resumed.version, resumed.digest)
        assert store.at(99).digest == resumed.digest
        for epoch in range(4, 9):
            store.commit(results[epoch], epoch)
        assert files() == expected
        store.rollback(resumed.version, resumed.digest)
        store.commit(results[0], 4)
    store.verify()


def test_gaps_of_a_long_path_are_found(tmp_path):
    """Longer than the pieces in which they are looked for: each at its place, once."""
    ids = np.delete(np.arange(700_000), [5, 6, 300_000, 524_287, 524_288, 699_998])
    boxes = np.zeros((len(ids), 4), np.float32)
    path = StateStore.create(tmp_path / "s", [("v", 0)], [700_000], [ids], [boxes]).at(0).target(0)
    assert path.ids[path.gaps].tolist() == [4, 299_999, 524_286, 699_997]


def test_what_a_removed_version_logged_is_overwritten(tmp_path):
    store = make_store(tmp_path / "s", [5000])
    digest = store.at(0).digest
    store.commit(random_results(np.random.default_rng(0), [5000], 500), 1)
    store.rollback(0, digest)
    store.commit(random_results(np.random.default_rng(1), [5000], 5), 1)
    assert store.at(1).log_file.stat().st_size == (3 + 5) * 20
    store.verify()


def test_the_digest_stands_for_content_and_history(tmp_path):
    rows = [(0, 1, BOX, 0.9), (0, 2, BOX, 0.9)]
    stores = [make_store(tmp_path / str(i), [10]) for i in range(4)]
    for store, (first, second) in zip(stores, ([rows, []], [rows, []], [rows[:1], rows[1:]], [[], []]), strict=True):
        store.commit(exploration(first), 1)
        store.commit(exploration(second), 2)
    digests = [store.at(2).digest for store in stores]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert len({store.at(e).digest for store in stores[:1] for e in range(3)}) == 3


def test_rollback_names_what_is_missing(tmp_path):
    store = make_store(tmp_path / "s", [10])
    for epoch in range(1, 4):
        store.commit(NOTHING, epoch)
    digest = store.at(1).digest
    store.snapshot(2)
    store.prune()
    with pytest.raises(SpotError, match=r"no version 1 \(it has 0 from epoch 0, 3 from epoch 3\)"):
        store.rollback(1, digest)
    with pytest.raises(SpotError, match=r"version 2 is \w{8}, not \w{8} as the checkpoint says"):
        store.rollback(2, digest)
    assert store.at(9).version == 3


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        pytest.param({}, [0, 2, 6], id="the first, the snapshot and the newest stay"),
        pytest.param({"keep_from": 40}, [0, 2, 4, 5, 6], id="and those in force from an epoch on"),
        pytest.param({"keep_from": 45}, [0, 2, 4, 5, 6], id="an epoch between two versions needs the earlier"),
        pytest.param({"keep_from": -1}, [0, 1, 2, 3, 4, 5, 6], id="from before the start all stay"),
    ],
)
def test_prune_keeps_what_is_needed(tmp_path, arguments, left):
    lengths = [30, 40]
    store = make_store(tmp_path / "s", lengths)
    for epoch in range(10, 70, 10):
        store.commit(random_results(np.random.default_rng(epoch), lengths, 60), epoch)
    store.snapshot(20)
    store.prune(**arguments)
    assert sorted({store.at(e).version for e in range(0, 70, 10)}) == left
    store.verify()
    needed = {store.at(10 * v).log_file for v in left}
    assert set((tmp_path / "s").glob("records-*.log")) == needed


def test_a_version_takes_at_most_32_bytes_a_frame(tmp_path):
    """With everything explored and after many replacements, in the shortest videos of the plan (GOT-10k's)."""
    lengths = [149] * 100
    path = np.repeat(np.arange(100), 149)
    everything = PseudoLabels(
        path, np.tile(np.arange(149), 100), np.ones((len(path), 4), np.float32), np.full(len(path), 0.5, np.float32)
    )
    store = make_store(tmp_path / "s", lengths)
    store.commit(everything, 1)
    largest = 0.0
    rng = np.random.default_rng(0)
    for epoch in range(2, 12):
        results = random_results(rng, lengths, 400)
        rising = np.float32(0.5 + epoch / 100)
        store.commit(results._replace(confidence=np.full(400, rising)), epoch)
        store.prune()
        largest = max(largest, sum(f.stat().st_size for f in (tmp_path / "s").iterdir()) / sum(lengths))
    assert 28 < largest <= 32


def test_handles_are_small_and_views(tmp_path):
    lengths = [2000] * 20
    store = make_store(tmp_path / "s", lengths, random_results(np.random.default_rng(0), lengths, 9000))
    state = store.at(0)
    for handle in (store, state):
        assert len(pickle.dumps(handle)) < 500
    again = pickle.loads(pickle.dumps(state))
    assert (again.version, again.epoch, again.digest) == (state.version, state.epoch, state.digest)
    assert content(again) == content(state)
    assert pickle.loads(pickle.dumps(store)).at(0).digest == state.digest
    for array in (again.lengths, *again.index, again.log, again.target(3).ids, again.target(3).key_boxes):
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_a_handle_says_that_its_version_is_gone(tmp_path):
    store = make_store(tmp_path / "s", [10])
    store.commit(NOTHING, 1)
    handle = pickle.dumps(store.at(1))
    store.commit(NOTHING, 2)
    store.prune()
    with pytest.raises(SpotError, match=r"000001-000001\.state: no such file"):
        pickle.loads(handle)


def test_names_lengths_and_keys_come_back(tmp_path):
    names = [("LaSOT_a b", 0), ("TrackingNet_00_é", 0), ("TrackingNet_00_é", 1)]
    ids = [np.array([0, 3]), np.array([2]), np.array([1, 4, 5])]
    boxes = [np.random.default_rng(i).random((len(k), 4)) for i, k in enumerate(ids)]
    state = StateStore.create(tmp_path / "s", names, [4, 6, 6], ids, boxes).at(0)
    assert list(state.names) == names
    assert state.lengths.tolist() == [4, 6, 6]
    for p in range(3):
        path = state.target(p)
        assert path.length == state.lengths[p]
        np.testing.assert_array_equal(path.key_ids, ids[p])
        np.testing.assert_array_equal(path.key_boxes, boxes[p].astype(np.float32))
        np.testing.assert_array_equal(path.boxes, path.key_boxes)
        assert (path.confidences == 1).all()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"names": [("w", 0), ("v1", 0)]}, id="another video"),
        pytest.param({"names": [("v1", 0), ("v0", 0)]}, id="another order"),
        pytest.param({"lengths": [11, 20]}, id="another length"),
        pytest.param({"key_ids": [np.array([2]), np.array([7])]}, id="another key frame"),
        pytest.param({"key_boxes": [np.ones((1, 4)), np.full((1, 4), 2.5)]}, id="another box"),
    ],
)
def test_a_state_of_other_labels_is_refused(tmp_path, change):
    arguments = {
        "names": [("v0", 0), ("v1", 0)],
        "lengths": [10, 20],
        "key_ids": [np.array([1]), np.array([7])],
        "key_boxes": [np.ones((1, 4)), np.ones((1, 4))],
    }
    StateStore.create(tmp_path / "s", **arguments)
    StateStore.open(tmp_path / "s", StateStore.fingerprint(**arguments))
    with pytest.raises(SpotError, match=r"s: belongs to other videos or key frames .*; take the labels"):
        StateStore.open(tmp_path / "s", StateStore.fingerprint(**arguments | change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"key_ids": [np.array([], int), np.array([7])]}, r"v0 \(target 0\)", id="no key frame"),
        pytest.param({"key_ids": [np.array([1]), np.array([20])]}, r"v1 \(target 0\)", id="outside the video"),
        pytest.param({"key_ids": [np.array([1]), np.array([-1])]}, "v1", id="a negative frame"),
        pytest.param({"key_ids": [np.array([1, 1]), np.array([7])]}, "v0", id="not in order"),
        pytest.param({"key_boxes": [np.ones((1, 4)), np.full((1, 4), np.nan)]}, "v1", id="no box"),
        pytest.param({"key_boxes": [np.ones((1, 4)), np.ones((2, 4))]}, "v1", id="as many boxes as key frames"),
        pytest.param({"names": [("v0", 0), ("v0", 0)]}, "different names", id="one name twice"),
        pytest.param({"names": [("v0", 0), ("v\n1", 0)]}, r"v\n1 \(target 0\)", id="a line break in a name"),
        pytest.param({"lengths": [2**30, 2**30]}, "split the set", id="more frames than row numbers"),
    ],
)
def test_unusable_key_frames_are_named(tmp_path, change, says):
    arguments = {
        "names": [("v0", 0), ("v1", 0)],
        "lengths": [10, 20],
        "key_ids": [np.array([1]), np.array([7])],
        "key_boxes": [np.ones((1, 4)), np.ones((1, 4))],
    } | change
    with pytest.raises(SpotError, match=says):
        StateStore.create(tmp_path / "s", **arguments)
    assert not (tmp_path / "s").exists()


def test_create_leaves_what_is_there_alone(tmp_path):
    (tmp_path / "s").mkdir()
    make_store(tmp_path / "s", [10])  # an empty folder may have been made for it
    with pytest.raises(SpotError, match="not empty"):
        make_store(tmp_path / "s", [20])
    assert StateStore.open(tmp_path / "s").at(0).lengths.tolist() == [10]
    assert StateStore.exists(tmp_path / "s")
    assert not StateStore.exists(tmp_path / "t")


def _cut(share: float):
    return lambda file: file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def _flip(where: int):
    def change(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[where] ^= 1
        file.write_bytes(data)

    return change


@pytest.mark.parametrize("pattern", ["paths.state", "000001-000001.state"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(_cut(0), "cannot be opened", id="empty"),
        pytest.param(_cut(0.01), "header is truncated", id="cut in the header"),
        pytest.param(_cut(0.9), "truncated", id="cut in the arrays"),
        pytest.param(lambda file: file.write_text('{"a": 1}'), "not a file of a sampler state", id="foreign"),
        pytest.param(_flip(40), "header is truncated or damaged", id="one bit of the header"),
        pytest.param(lambda file: file.unlink(), "no such file|has no version|000000", id="gone"),
    ],
)
def test_damage_is_refused_by_name_on_opening(tmp_path, pattern, damage, says):
    store = make_store(tmp_path / "s", [10])
    store.commit(exploration([(0, 7, BOX, 0.9)]), 1)
    damage(tmp_path / "s" / pattern)
    if says.startswith("no such file") and pattern != "paths.state":
        assert StateStore.open(tmp_path / "s").at(9).version == 0  # removing a version is how to fall back
        return
    with pytest.raises(SpotError, match=says) as error:
        StateStore.open(tmp_path / "s")
    assert pattern in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["paths.state", "000001-000001.state", "records-000000.log"])
def test_one_wrong_bit_anywhere_is_refused_or_without_effect(tmp_path, name):
    """Without effect: between the arrays of a file."""
    store = make_store(tmp_path / "s", [10] * 30)
    store.commit(exploration([(0, 7, BOX, 0.9)]), 1)
    store.verify()
    file = tmp_path / "s" / name
    whole, expected, errors = file.read_bytes(), content(store.at(1)), []
    for where in range(0, len(whole), 13):
        file.write_bytes(whole)
        _flip(where)(file)
        try:
            opened = StateStore.open(tmp_path / "s")
            opened.verify()
        except SpotError as error:
            errors.append(str(error))
        else:
            assert content(opened.at(1)) == expected
    assert len(errors) > len(whole) / 13 / 2
    assert all(name in error for error in errors)


def test_a_shortened_log_is_refused(tmp_path):
    store = make_store(tmp_path / "s", [10])
    store.commit(exploration([(0, 7, BOX, 0.9)]), 1)
    _cut(0.9)(tmp_path / "s" / "records-000001.log")
    with pytest.raises(SpotError, match=r"records-000001\.log: truncated"):
        StateStore.open(tmp_path / "s")


def test_a_version_of_another_state_is_refused(tmp_path):
    for name, length in (("a", 10), ("b", 12)):
        make_store(tmp_path / name, [length]).commit(NOTHING, 1)
    stray = tmp_path / "a" / "000001-000001.state"
    stray.write_bytes((tmp_path / "b" / stray.name).read_bytes())
    with pytest.raises(SpotError, match=r"000001-000001\.state: belongs to another sampler state"):
        StateStore.open(tmp_path / "a")


def test_no_state_is_said_plainly(tmp_path):
    with pytest.raises(SpotError, match=r"paths.state: no such file; is this the folder of a sampler state\?"):
        StateStore.open(tmp_path)


def test_version_0_is_always_there_to_begin_anew(tmp_path):
    """Whatever is pruned, and its own log stays as small as it was."""
    store = make_store(tmp_path / "s", [500])
    first = store.at(0)
    for epoch in range(1, 5):
        store.commit(random_results(np.random.default_rng(epoch), [500], 100), epoch)
        store.prune()
    assert first.log_file.stat().st_size == len(first.log) * 20
    store.rollback(0)
    assert (store.at(9).version, store.at(9).digest) == (0, first.digest)


def test_going_back_to_a_damaged_version_is_refused_and_removes_nothing(tmp_path):
    store = make_store(tmp_path / "s", [500])
    for epoch in (1, 2):
        store.commit(random_results(np.random.default_rng(epoch), [500], 100), epoch)
    state = store.at(1)
    damaged = bytearray(state.log_file.read_bytes())
    damaged[5] ^= 1
    state.log_file.write_bytes(damaged)
    with pytest.raises(SpotError, match=r"records-000001.log: damaged \(checksum differs\)"):
        store.rollback(1, state.digest)
    assert store.at(9).version == 2
