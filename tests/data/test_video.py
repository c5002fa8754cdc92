"""Videos and sets of them."""

import pickle

import numpy as np
import pytest

from spot.data.video import Frames, Video, VideoSet
from spot.runtime.errors import SpotError


def make_video(name, frames, **more):
    boxes = np.arange(frames * 4, dtype=np.float32).reshape(frames, 4)
    return Video(name, Frames(f"/data/{name}", frames), boxes, boxes[:, 0] > 0, **more)


def test_paths_follow_a_pattern_or_names():
    assert Frames("/d", 3).path(0) == "/d/00000001.jpg"
    assert Frames("/d.zip!", 3, "{}.jpg", 0).path(2) == "/d.zip!/2.jpg"
    assert Frames("/d", 2, names=np.array(["x.png", "ä.png"])).path(1) == "/d/ä.png"
    for index in (-1, 3):
        with pytest.raises(IndexError):
            Frames("/d", 3).path(index)


def test_set_gives_videos_by_index_name_and_slice():
    videos = VideoSet.from_videos("X", [make_video("a", 3), make_video("b", 1), make_video("c", 2)], "train")
    assert videos.lengths.tolist() == [3, 1, 2]
    assert videos[-1].name == "c"
    np.testing.assert_array_equal(videos["a"].boxes, make_video("a", 3).boxes)
    assert [v.name for v in videos[1:]] == ["b", "c"]
    assert videos.subset(["c", "a"]).names == ["c", "a"]
    assert videos.subset(["c"]).split == "train"
    assert "b" in videos
    assert "d" not in videos


def test_extras_follow_their_video():
    tags = {"occlusion": np.array([True, False])}
    videos = VideoSet.from_videos("X", [make_video("a", 2, attributes=("Fast",), frame_tags=tags), make_video("b", 1)])
    again = pickle.loads(pickle.dumps(videos.subset(["b", "a"])))
    assert again["a"].attributes == ("Fast",)
    assert again["a"].frame_tags["occlusion"].tolist() == [True, False]
    assert again["b"].attributes == ()


def test_names_must_be_unique_and_known():
    with pytest.raises(SpotError, match="X: video a appears twice"):
        VideoSet.from_videos("X", [make_video("a", 1), make_video("b", 1), make_video("a", 1)])
    with pytest.raises(SpotError, match="X has no video named z; it has 1 videos"):
        VideoSet.from_videos("X", [make_video("a", 1)]).index_of("z")
