"""The published JSON in and out: several paths, any layout, faults by name."""

import json

import numpy as np
import pytest

from spot.runtime.errors import SpotError
from spot.state import interchange
from spot.state.interchange import check_published, read_published, write_published
from spot.state.store import StateStore
from tests.state.plain import content, key_frames, make_store, random_results

PATH = {
    "key_frame_ids": [2],
    "relay_frame_ids": [2, 5],
    "bboxes": [[1, 2, 3, 4], [5.5, 6, 7, 8]],
    "confidence": [1, 0.9],
}
FILE = {"LaSOT_a": [PATH], "LaSOT_b, {c}": [PATH, PATH | {"key_frame_ids": [2, 5]}]}
LENGTHS = {"LaSOT_b, {c}": 6, "LaSOT_none": 3, "LaSOT_a": 30}


def written(folder, published, **layout):
    file = folder / "sampler_state.json"
    file.write_text(json.dumps(published, **layout))
    return file


@pytest.mark.parametrize("chunk", [1, 7, 300, 1 << 22])
@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({"indent": 4, "sort_keys": True}, id="as published"),
        pytest.param({"separators": (",", ":")}, id="without white space"),
    ],
)
def test_reading_does_not_depend_on_where_the_text_is_cut(tmp_path, monkeypatch, chunk, layout):
    monkeypatch.setattr(interchange, "_CHUNK", chunk)
    state = read_published(written(tmp_path, FILE, **layout), tmp_path / "s", LENGTHS).at(0)
    assert list(state.names) == [("LaSOT_b, {c}", 0), ("LaSOT_b, {c}", 1), ("LaSOT_a", 0)]
    assert state.lengths.tolist() == [6, 6, 30]
    assert [state.target(p).key_ids.tolist() for p in range(3)] == [[2], [2, 5], [2]]
    frames = {2: ([1, 2, 3, 4], 1.0), 5: ([5.5, 6, 7, 8], pytest.approx(0.9))}
    assert content(state) == [frames, frames | {5: ([5.5, 6, 7, 8], 1.0)}, frames]


def test_a_state_survives_the_way_out_and_in(tmp_path):
    lengths = [200, 30, 1]
    names = [("w", 0), ("v", 0), ("v", 1)]
    ids, _ = key_frames(lengths)
    rng = np.random.default_rng(0)
    boxes = [rng.uniform(0, 900, (len(k), 4)).astype(np.float32) for k in ids]  # of all digits, as human boxes may be
    store = StateStore.create(tmp_path / "s", names, [200, 30, 30], ids, boxes)
    store.commit(random_results(rng, lengths, 300), 1)
    write_published(store.at(1), tmp_path / "out.json")
    again = read_published(tmp_path / "out.json", tmp_path / "t", {"w": 200, "v": 30})
    assert content(again.at(0)) == content(store.at(1))
    assert list(again.at(0).names) == names
    StateStore.open(tmp_path / "t", StateStore.fingerprint(names, [200, 30, 30], ids, boxes))
    write_published(again.at(0), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "out.json").read_bytes()


def test_numbers_are_written_as_short_as_they_were_rounded(tmp_path):
    store = make_store(tmp_path / "s", [50])
    store.commit(random_results(np.random.default_rng(0), [50], 200), 1)
    write_published(store.at(1), tmp_path / "out.json")
    (path,) = json.loads((tmp_path / "out.json").read_text())["v0"]
    assert sorted(path) == ["bboxes", "confidence", "key_frame_ids", "relay_frame_ids"]
    assert all(round(x, 1) == x for box in path["bboxes"] for x in box)
    assert set(path["confidence"]) == {0.9, 0.95, 1.0}
    assert path["relay_frame_ids"] == sorted(path["relay_frame_ids"])
    assert set(path["key_frame_ids"]) < set(path["relay_frame_ids"])


@pytest.mark.parametrize(
    ("published", "says"),
    [
        pytest.param([1, 2], "not a JSON object", id="a list"),
        pytest.param({}, "ends early or is damaged", id="nothing"),
        pytest.param({"LaSOT_x": [PATH]}, "holds LaSOT_x, which is not in the data set", id="an unknown video"),
        pytest.param({"LaSOT_a": PATH}, "LaSOT_a is not a list of targets", id="a path instead of a list of paths"),
        pytest.param({"LaSOT_a": [{"f_ids": [1]}]}, r"LaSOT_a \(target 0\): KeyError", id="a key-frame file"),
        pytest.param(
            {"LaSOT_a": [PATH, PATH | {"confidence": [1]}]}, r"LaSOT_a \(target 1\): 2 frames", id="lists differ"
        ),
        pytest.param({"LaSOT_a": [PATH | {"relay_frame_ids": [5, 2]}]}, "not sorted", id="not sorted"),
        pytest.param({"LaSOT_a": [PATH | {"relay_frame_ids": [2, 30]}]}, "2..30 of a video of 30", id="too long"),
        pytest.param({"LaSOT_a": [PATH | {"key_frame_ids": [3]}]}, "not among relay_frame_ids", id="a key is missing"),
        pytest.param({"LaSOT_a": [PATH | {"confidence": [1, float("nan")]}]}, "not finite", id="nan"),
        pytest.param({"LaSOT_a": [PATH | {"bboxes": [[1, 2, 3]]}]}, "LaSOT_a", id="boxes of three numbers"),
        pytest.param({"LaSOT_a": [PATH | {"relay_frame_ids": [2, 1e30]}]}, "of a video of 30", id="a huge frame"),
        pytest.param({"LaSOT_a": [PATH | {"relay_frame_ids": [2, 10**400]}]}, "LaSOT_a", id="beyond any float"),
        pytest.param({"LaSOT_a": [PATH | {"relay_frame_ids": [2, 5.5]}]}, "not whole numbers", id="half a frame"),
        pytest.param({"LaSOT_a": [PATH | {"bboxes": [[1e30] * 4] * 2}]}, "far too large", id="a huge box"),
        pytest.param({"LaSOT_a": [PATH | {"confidence": [[1], [1]]}]}, "lists inside lists", id="lists inside lists"),
        pytest.param({"LaSOT_a": [3]}, r"LaSOT_a \(target 0\)", id="a number for a target"),
    ],
)
def test_faults_are_named(tmp_path, published, says):
    file = written(tmp_path, published)
    with pytest.raises(SpotError, match=says) as error:
        read_published(file, tmp_path / "s", LENGTHS)
    assert str(error.value).startswith(f"{file}: ")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="ends in the middle"),
        pytest.param(lambda text: text[:-1], id="lacks its last brace"),
        pytest.param(lambda text: text.replace("}], ", "}] "), id="lacks a comma"),
        pytest.param(lambda text: text.replace(": [{", " [{", 1), id="lacks a colon"),
    ],
)
def test_damage_is_named(tmp_path, change):
    file = tmp_path / "in.json"
    file.write_text(change(json.dumps(FILE)))
    with pytest.raises(SpotError, match=r"in\.json: ends early or is damaged"):
        read_published(file, tmp_path / "s", LENGTHS)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"LaSOT_a": ' + "[" * 100_000, id="deep nesting"),
        pytest.param("{[1]: 2}", id="a list for a name"),
        pytest.param('{"LaSOT_a": 1e30}', id="a number for the targets"),
        pytest.param("\xff\xfe{", id="another encoding"),
    ],
)
def test_absurd_files_are_refused_in_one_line(tmp_path, text):
    file = tmp_path / "in.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SpotError, match=r"in\.json: .*is this a published sampler state\?$"):
        read_published(file, tmp_path / "s", LENGTHS)
    with pytest.raises(SpotError, match=r"in\.json: .*is this a published sampler state\?$"):
        check_published(file)


def test_no_file_is_named(tmp_path):
    with pytest.raises(SpotError, match=r"none\.json: cannot be read"):
        read_published(tmp_path / "none.json", tmp_path / "s", LENGTHS)
    with pytest.raises(SpotError, match=r"out\.json: cannot be written"):
        write_published(make_store(tmp_path / "s", [5]).at(0), tmp_path / "s" / "paths.state" / "out.json")
