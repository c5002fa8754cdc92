"""Which frames of one's own videos to label."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from spot.data.box_table import BoxTable
from spot.data.frames_to_label import (
    STRATEGIES,
    choose_frames,
    diverse_frames,
    nearest_to_centers,
    read_frames_to_label,
    write_frames,
)
from spot.data.video import Frames, Video, VideoSet
from spot.runtime.errors import SpotError


def three_scenes(folder: Path) -> Video:
    """30 frames: 15 dark, 5 red, 10 bright."""
    folder.mkdir()
    for i in range(30):
        color = (0, 0, 0) if i < 15 else (0, 0, 200) if i < 20 else (250, 250, 250)
        cv2.imwrite(str(folder / f"{i:03d}.png"), np.full((20, 30, 3), color, np.uint8))
    nothing = np.full((30, 4), np.nan, np.float32)
    return Video(folder.name, Frames(str(folder), 30, "{:03d}.png", 0), nothing, np.zeros(30, bool))


@pytest.fixture
def videos(tmp_path: Path) -> VideoSet:
    opened = VideoSet.from_videos("mine", [three_scenes(tmp_path / name) for name in ("a", "b")])
    opened.own_labels = BoxTable.from_rows([])
    return opened


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_different_frames_of_every_video(videos: VideoSet, strategy: str):
    chosen = choose_frames(videos, 3, seed=1, strategy=strategy, targets=2)
    assert chosen == choose_frames(videos, 3, seed=1, strategy=strategy, targets=2)
    assert [(name, target) for name, target, _ in chosen] == [(n, t) for n in "ab" for t in (1, 2) for _ in range(3)]
    first = [frame for name, target, frame in chosen if (name, target) == ("a", 1)]
    assert first == sorted(set(first))
    assert [frame for name, target, frame in chosen if (name, target) == ("a", 2)] == first


def test_diverse_takes_a_frame_of_each_scene(videos: VideoSet):
    scenes = [0 if i < 15 else 1 if i < 20 else 2 for i in diverse_frames(videos["a"], 3).tolist()]
    assert sorted(scenes) == [0, 1, 2]
    assert diverse_frames(videos["a"], 99).tolist() == list(range(30))


def test_clusters_of_points():
    points = np.array([[0.0, 0], [0, 1], [0, 2], [10, 0], [10, 1], [10, 2], [50, 50]])
    assert sorted(nearest_to_centers(points, 3).tolist()) == [1, 4, 6]


def test_labels_that_are_there_count(videos: VideoSet):
    every = [frame for name, _, frame in choose_frames(videos, 3) if name == "a"]
    videos.own_labels = BoxTable.from_rows([("a", 1, every[1] + 1, (0, 0, 5, 5)), ("a", 2, 0, (0, 0, 5, 5))])
    left = choose_frames(videos, 3, targets=2)
    assert [f for n, t, f in left if (n, t) == ("a", 1)] == [every[0], every[2]]
    assert [f for n, t, f in left if (n, t) == ("a", 2)] == every[1:]
    assert len([f for n, *_, f in left if n == "b"]) == 6


def test_the_list_is_read_as_it_was_written(videos: VideoSet, tmp_path: Path):
    chosen = choose_frames(videos, 2)
    write_frames(tmp_path / "list.csv", chosen)
    assert read_frames_to_label(tmp_path / "list.csv", videos) == chosen
    for content, said in (
        ("video,frame\na,30\n", "a has no frame 30"),
        ("x\n", "not a list"),
        ("video,frame\nc,1\n", "c"),
    ):
        (tmp_path / "list.csv").write_text(content)
        with pytest.raises(SpotError, match=said):
            read_frames_to_label(tmp_path / "list.csv", videos)


@pytest.mark.parametrize("options", [{"strategy": "first"}, {"count": 0}, {"targets": 0}])
def test_impossible_requests_are_named(videos: VideoSet, options: dict):
    key = "labels" if "count" in options else next(iter(options))
    with pytest.raises(SpotError, match=f"{key}="):
        choose_frames(videos, **{"count": 2, **options})
