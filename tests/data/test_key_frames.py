"""Sampling of key frames, and their files."""

import json

import numpy as np
import pytest

from spot.data.datasets.trackingnet import is_human
from spot.data.key_frame_sampling import (
    STRATEGIES,
    draw_first,
    draw_uniform,
    draw_windows,
    human_frames,
    sample_budget,
    sample_key_frames,
)
from spot.data.key_frames import KeyFrames, LabelledTarget, all_frames
from spot.data.sampling_report import draw_histogram, positions, summarise
from spot.data.video import Frames, Video, VideoSet
from spot.runtime.errors import SpotError


def make_videos(lengths=(40, 100, 7, 250), name="LaSOT", split="train", hidden=()):
    """A set whose boxes tell video and frame; `hidden` are (video, frames) where the target is not visible."""
    videos = []
    for v, n in enumerate(lengths):
        visible = np.ones(n, bool)
        for _, frames in (h for h in hidden if h[0] == v):
            visible[frames] = False
        boxes = np.stack([np.full(n, v), np.arange(n), np.full(n, 10), np.full(n, 20)], 1).astype(np.float32)
        videos.append(Video(f"{name}_v-{v}", Frames("/nowhere", n), boxes, visible))
    return VideoSet.from_videos(name, videos, split)


def as_lists(key_frames):
    return {name: [p.ids.tolist() for p in paths] for name, paths in key_frames.targets.items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_key_frames_are_visible_sorted_and_labelled(strategy, count):
    videos = make_videos(hidden=[(1, slice(20, 90)), (3, slice(0, 249, 2))])
    key_frames = sample_key_frames(videos, count, seed=4, strategy=strategy)
    assert set(key_frames.targets) == set(videos.names)
    for name, (path,) in key_frames.targets.items():
        video = videos[name]
        assert video.visible[path.ids].all()
        assert (np.diff(path.ids) > 0).all()
        np.testing.assert_array_equal(path.boxes, video.boxes[path.ids])
        assert 1 <= len(path.ids) <= count


def test_windows_lie_around_evenly_spaced_frames():
    """k = 3 of 240 frames: bases 40, 120, 200, gap 10."""
    drawn = np.array([draw_windows(np.ones(240, bool), 3, np.random.default_rng(s).random) for s in range(2000)])
    for column, base in zip(drawn.T, (40, 120, 200), strict=True):
        assert sorted(set(column)) == list(range(base - 10, base + 10))


def test_windows_widen_until_two_visible_frames():
    """Around base 50 of 100 only frames 5 and 99 are visible: the window grows from 12 to 60 on either side."""
    visible = np.zeros(100, bool)
    visible[[5, 99]] = True
    drawn = {draw_windows(visible, 1, np.random.default_rng(s).random)[0] for s in range(50)}
    assert drawn == {5, 99}
    visible[5] = False
    assert draw_windows(visible, 1, np.random.default_rng(0).random) is None


def test_uniform_draws_every_subset_alike():
    visible = np.array([True, False, True, True, True])
    counts = {}
    rng = np.random.default_rng(0)
    for _ in range(6000):
        pair = tuple(sorted(draw_uniform(visible, 2, rng.random)))
        counts[pair] = counts.get(pair, 0) + 1
    assert set(counts) == {(0, 2), (0, 3), (0, 4), (2, 3), (2, 4), (3, 4)}
    assert min(counts.values()) > 850  # 1000 expected, standard deviation 29


def test_first_takes_the_first_visible():
    visible = np.array([False, True, False, True, True])
    assert draw_first(visible, 2, pytest.fail) == [1, 3]
    assert draw_first(visible, 4, pytest.fail) is None


def test_draws_follow_from_seed_and_name_alone():
    videos = make_videos()
    whole = as_lists(sample_key_frames(videos, 3, seed=1))
    part = as_lists(sample_key_frames(videos.subset([videos.names[3], videos.names[0]]), 3, seed=1))
    assert part == {name: whole[name] for name in part}
    assert as_lists(sample_key_frames(videos, 3, seed=2)) != whole


def test_known_draw():
    """Key frames must not change from version to version: labels are spent on them."""
    assert as_lists(sample_key_frames(make_videos((240,)), 3, seed=0)) == {"LaSOT_v-0": [[48, 127, 203]]}


def test_a_video_that_fails_is_listed_and_left_out():
    videos = make_videos(hidden=[(0, slice(0, 39)), (2, slice(None))])
    key_frames = sample_key_frames(videos, 2, seed=0)
    assert key_frames.failures == ["LaSOT_v-0", "LaSOT_v-2"]
    assert set(key_frames.targets) == {"LaSOT_v-1", "LaSOT_v-3"}
    figures = summarise(key_frames, videos)
    assert figures["failed: the target is visible in fewer than two frames"] == 2
    assert (figures["videos"], figures["labelled videos"], figures["boxes"]) == (4, 2, 4)


def test_trackingnet_takes_human_boxes_at_or_before_the_draw():
    videos = make_videos((300,), name="TrackingNet", split="0")
    boxes = videos.boxes.copy()
    boxes[np.arange(300) % 30 != 0] += 0.3
    videos = VideoSet("TrackingNet", videos.names, videos.frames, boxes, videos.visible, split="0")
    videos.human = is_human
    human = sample_key_frames(videos, 5, seed=3).targets["TrackingNet_v-0"][0].ids
    every = sample_key_frames(videos, 5, seed=3, human_only=False).targets["TrackingNet_v-0"][0].ids
    np.testing.assert_array_equal(human, np.unique(every // 30 * 30))
    assert (every % 30).any()


def test_human_frames_must_be_visible():
    """The published walk back ignores visibility; ours passes over frames without a visible box, or fails."""
    human = np.zeros(10, bool)
    human[[2, 6]] = True
    assert human_frames([9, 6, 5, 2], human) == [6, 6, 2, 2]
    assert human_frames([9, 1], human) == [6, 0]  # frame 0 where a human drew nothing before
    assert human_frames([9], np.zeros(10, bool)) == [0]


def test_human_boxes_have_whole_coordinates():
    boxes = np.array([[1, 2, 3, 4], [1.5, 2, 3, 4], [1.002, 2, 3, 4.002], [1.006, 2, 3, 4.006], [np.nan] * 4])
    assert is_human(boxes).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("count", "strategy", "said"),
    [
        (0, "windows", "labels=0"),
        (-1, "first", "labels=-1"),
        (251, "windows", "250 frames"),
        (3, "best", "windows, uniform"),
    ],
)
def test_impossible_requests_are_named(count, strategy, said):
    with pytest.raises(SpotError, match=said):
        sample_key_frames(make_videos(), count, 0, strategy)


@pytest.mark.parametrize(("budget", "videos", "boxes"), [(2, 1, 2), (7, 3, 7), (8, 4, 8), (11, 4, 11), (26, 4, 26)])
def test_budget_reaches_as_many_videos_as_it_can(budget, videos, boxes):
    key_frames = sample_budget(make_videos(), budget, seed=0, strategy="uniform")
    counts = [len(p.ids) for (p,) in key_frames.targets.values()]
    assert (len(counts), sum(counts)) == (videos, boxes)
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 2
    assert key_frames.settings["name"] == f"LaSOT_train_kf_b{budget}"


def test_budget_passes_over_videos_that_cannot_be_labelled():
    videos = make_videos(hidden=[(0, slice(None)), (2, slice(1, None))])
    assert set(sample_budget(videos, 4, seed=0).targets) == {"LaSOT_v-1", "LaSOT_v-3"}
    with pytest.raises(SpotError, match="budget=1"):
        sample_budget(videos, 1, seed=0)


def test_all_frames_are_the_visible_ones():
    videos = make_videos((5, 4), hidden=[(0, [1, 3]), (1, slice(None))])
    key_frames = all_frames(videos)
    assert as_lists(key_frames) == {"LaSOT_v-0": [[0, 2, 4]]}
    assert key_frames.failures == ["LaSOT_v-1"]
    assert key_frames.settings["mode"] == "all_frames"


def test_written_files_are_the_published_form(tmp_path):
    videos = make_videos()
    key_frames = sample_key_frames(videos, 3, seed=0)
    key_frames.write(tmp_path / "labels" / "kf.json")
    content = json.loads((tmp_path / "labels" / "kf.json").read_text())
    assert content["fs_settings"] == {
        "name": "LaSOT_train_kf_003", "dataset": "LaSOT", "split": "train", "mode": "key_frames", "num": 3
    }  # fmt: skip
    assert content["failure_seqs"] == []
    (path,) = content["sparse_sample_result"]["LaSOT_v-1"]
    assert set(path) == {"f_ids"}
    again = KeyFrames.read(tmp_path / "labels" / "kf.json", videos)
    assert as_lists(again) == as_lists(key_frames)
    np.testing.assert_array_equal(again.targets["LaSOT_v-1"][0].boxes, key_frames.targets["LaSOT_v-1"][0].boxes)


def test_own_boxes_and_several_targets_survive(tmp_path):
    videos = make_videos((10,))
    own = LabelledTarget(np.array([1, 4]), np.array([[1.5, 2, 3, 4], [5, 6, 7, 8.25]], np.float32), own=True)
    other = LabelledTarget(np.array([0]), videos[0].boxes[[0]])
    KeyFrames({}, [], {"LaSOT_v-0": (own, other)}).write(tmp_path / "kf.json")
    first, second = KeyFrames.read(tmp_path / "kf.json", videos).targets["LaSOT_v-0"]
    assert (first.own, second.own) == (True, False)
    np.testing.assert_array_equal(first.boxes, own.boxes)
    np.testing.assert_array_equal(second.boxes, other.boxes)


def write_result(file, result):
    file.write_text(json.dumps({"fs_settings": {}, "failure_seqs": [], "sparse_sample_result": result}))


def test_ids_of_hand_made_files_are_sorted_and_merged(tmp_path):
    write_result(tmp_path / "kf.json", {"LaSOT_v-0": [{"f_ids": [7, 2, 7], "bboxes": [[7] * 4, [2] * 4, [7] * 4]}]})
    (path,) = KeyFrames.read(tmp_path / "kf.json", make_videos()).targets["LaSOT_v-0"]
    assert path.ids.tolist() == [2, 7]
    assert path.boxes[:, 0].tolist() == [2, 7]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"LaSOT_v-9": [{"f_ids": [1]}]}, "no video named LaSOT_v-9"),
        ({"LaSOT_v-0": [{"f_ids": [40]}]}, "LaSOT_v-0 has 40 frames"),
        ({"LaSOT_v-0": [{"f_ids": [-1]}]}, "LaSOT_v-0 has 40 frames"),
        ({"LaSOT_v-0": [{"f_ids": []}]}, "LaSOT_v-0 has 40 frames"),
        ({"LaSOT_v-0": [{"f_ids": [1, 2], "bboxes": [[1, 2, 3, 4]]}]}, "2 key frames and 1 boxes"),
        ({"LaSOT_v-0": [{"f_ids": [1], "bboxes": [[1, 2, 0, 4]]}]}, "frame 1 has no box"),
        ({"LaSOT_v-0": [{"frames": [1]}]}, "not a key-frame file"),
        ({"LaSOT_v-0": [{"f_ids": "x"}]}, "not a key-frame file"),
        ([1], "not a key-frame file"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, result, said):
    write_result(tmp_path / "kf.json", result)
    with pytest.raises(SpotError, match=rf"kf\.json: .*{said}"):
        KeyFrames.read(tmp_path / "kf.json", make_videos())


def test_missing_and_cut_files_are_named(tmp_path):
    with pytest.raises(SpotError, match=r"kf\.json: No such file.*spot\.sample"):
        KeyFrames.read(tmp_path / "kf.json", make_videos())
    (tmp_path / "kf.json").write_text('{"fs_settings": {')
    with pytest.raises(SpotError, match="not a JSON file"):
        KeyFrames.read(tmp_path / "kf.json", make_videos())


def test_trackingnet_finds_the_merged_file_or_the_files_of_all_sets(tmp_path):
    sets = [make_videos((60,), f"TrackingNet_{s:02d}", str(s)) for s in (0, 1)]
    videos = VideoSet.from_videos("TrackingNet", [v for s in sets for v in s], "0-1")
    videos.parts = ["0", "1"]
    merged = sample_key_frames(videos, 3, seed=0, human_only=False)
    for number, name in enumerate(videos.names):
        one = VideoSet.from_videos("TrackingNet", [videos[name]], str(number))
        part = sample_key_frames(one, 3, seed=0, human_only=False)
        assert KeyFrames.find(tmp_path, videos, 3) is None
        part.write(tmp_path / f"{part.settings['name']}.json")
    assert {f.name for f in tmp_path.iterdir()} == {"TrackingNet_0_kf_003.json", "TrackingNet_1_kf_003.json"}
    assert as_lists(KeyFrames.find(tmp_path, videos, 3)) == as_lists(merged)
    merged.write(tmp_path / "TrackingNet_0-1_kf_003.json")
    (tmp_path / "TrackingNet_0_kf_003.json").unlink()
    assert as_lists(KeyFrames.find(tmp_path, videos, 3)) == as_lists(merged)


def test_histogram(tmp_path):
    videos = make_videos((101, 11))
    key_frames = KeyFrames({"name": "x"}, [], {
        "LaSOT_v-0": (LabelledTarget(np.array([0, 25, 100]), videos[0].boxes[:3]),),
        "LaSOT_v-1": (LabelledTarget(np.array([5]), videos[1].boxes[:1]),),
    })  # fmt: skip
    assert positions(key_frames, videos).tolist() == [0, 0.25, 1, 0.5]
    draw_histogram(key_frames, videos, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
