"""Merging and the published file beside the published program's own results."""

import json
from itertools import pairwise

import numpy as np
import pytest

from spot.state.interchange import read_published, write_published
from spot.state.store import PseudoLabels
from tests.parity.test_exploration import golden, sources
from tests.paths import requires_shared
from tests.state.plain import assert_same, content

CASES = [
    pytest.param("case1", id="ties, duplicates in one epoch, several paths, values half-way between roundings"),
    pytest.param("case2", id="random states and results"),
    pytest.param("case3_wrong_guard", id="a relay frame that the published guard blocks"),
]


def published_merge(prev: dict, epoch_info: dict, guard: str) -> dict:
    """The published rule; its guard compares the place in the list, ours the frame, with the key frames' ids."""
    new = json.loads(json.dumps(prev))
    for name, info in epoch_info.items():
        for number, frame, box, confidence in rows(info):
            path = new[name][number]
            place = sum(i <= frame for i in path["relay_frame_ids"])
            known = frame in path["relay_frame_ids"]
            values = {"bboxes": [round(x, 1) for x in box], "confidence": confidence}
            if not known:
                path["relay_frame_ids"].insert(place, frame)
            elif (place if guard == "published" else frame) in path["key_frame_ids"] or (
                confidence <= path["confidence"][place - 1]
            ):
                continue
            for key, value in values.items():
                path[key][place - known : place] = [value]
    return new


def rows(info: dict):
    return zip(info["path_ids"], info["relay_frame_ids"], info["bboxes"], info["confidence"], strict=True)


def as_float32(epoch_info: dict) -> dict:
    """What a network can yield: the cases' decimals as float32."""
    return {name: info | {"bboxes": np.float32(info["bboxes"]).tolist()} for name, info in epoch_info.items()}


def plain(published: dict) -> list:
    """Published state as frame -> box, confidence per path; key frames have confidence 1 by definition."""
    return [
        {
            frame: (box, 1.0 if frame in path["key_frame_ids"] else confidence)
            for frame, box, confidence in zip(path["relay_frame_ids"], path["bboxes"], path["confidence"], strict=True)
        }
        for name in sorted(published)
        for path in published[name]
    ]


def merged(folder, case: dict):
    """Our store after the case: its state, and the report."""
    (folder / "prev.json").write_text(json.dumps(case["prev"], indent=4, sort_keys=True))
    lengths = dict.fromkeys(sorted(case["prev"]), 200)
    store = read_published(folder / "prev.json", folder / "s", lengths)
    first = {name: p for p, (name, number) in enumerate(store.at(0).names) if number == 0}
    results = [
        (first[name] + number, *rest) for name, info in case["epoch_info"].items() for number, *rest in rows(info)
    ]
    path, frame, box, confidence = zip(*results, strict=True)
    report = store.commit(
        PseudoLabels(np.array(path), np.array(frame), np.array(box, np.float32), np.array(confidence, np.float32)), 1
    )
    return store.at(1), report


@sources
@pytest.mark.parametrize("name", CASES)
def test_merge(name, source, tmp_path):
    """The rule, written plainly, gives the published result; with its guard put right, ours."""
    case = golden("h_sampler_state", source)[name]
    assert published_merge(case["prev"], case["epoch_info"], "published") == case["new"]
    state, report = merged(tmp_path, case)
    right = published_merge(case["prev"], as_float32(case["epoch_info"]), "right")
    assert_same(content(state), plain(right))
    assert sum(report) == sum(len(info["confidence"]) for info in case["epoch_info"].values())


@pytest.mark.parametrize(
    ("name", "source", "replaced", "differing"),
    [
        pytest.param("case3_wrong_guard", "excerpt", 1, 1, id="the only replacement is blocked"),
        pytest.param(
            *("case2", "shared", 200, 7),
            marks=requires_shared,
            id="8 of 200 are blocked, one of them on a frame that a later result replaces all the same",
        ),
    ],
)
def test_the_guard_put_right_changes_what_the_published_one_blocks(name, source, replaced, differing, tmp_path):
    case = golden("h_sampler_state", source)[name]
    state, report = merged(tmp_path, case)
    ours, theirs = content(state), plain(case["new"])
    changed = [
        (p, i) for p, path in enumerate(theirs) for i in path if np.float32(path[i][1]) != np.float32(ours[p][i][1])
    ]
    assert (report.replaced, len(changed)) == (replaced, differing)
    assert all(ours[p][i][1] > theirs[p][i][1] and i not in state.target(p).key_ids for p, i in changed)


@sources
@pytest.mark.parametrize("name", ["case1", "case2"])
def test_published_files_survive_the_way_in_and_out(name, source, tmp_path):
    """Equal JSON; boxes of key frames come out with all digits of their float32, as the published program's do."""
    published = golden("h_sampler_state", source)[name]["prev"]
    (tmp_path / "in.json").write_text(json.dumps(published, indent=4, sort_keys=True))
    store = read_published(tmp_path / "in.json", tmp_path / "s", dict.fromkeys(sorted(published), 200))
    write_published(store.at(0), tmp_path / "out.json")
    back = json.loads((tmp_path / "out.json").read_text())
    for paths in published.values():
        for path in paths:
            for key in path["key_frame_ids"]:
                i = path["relay_frame_ids"].index(key)
                path["bboxes"][i] = np.float32(path["bboxes"][i]).tolist()
    assert back == published
    assert all(a < b for a, b in pairwise(back))
