"""VOT's result folders, supervised and long-term."""

import json

import numpy as np
import pytest

from spot.data.video import Frames, Video, VideoSet
from spot.reporting.evaluate_benchmark import evaluate
from spot.reporting.evaluate_vot import VotEvaluator
from spot.reporting.options import Options
from spot.results.vot_files import corner_points
from spot.runtime.errors import SpotError
from tests.evaluation.helpers import wandering

QUIET = Options(plots=False, report=False)


def rows_of(boxes, codes):
    lines = [
        str(code) if code >= 0 else ",".join(f"{v:.2f}" for v in box) for code, box in zip(codes, boxes, strict=True)
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def videos():
    rng = np.random.default_rng(0)
    made = []
    for name, frames in (("ants", 60), ("book", 70)):
        boxes = wandering(rng, frames)
        polygons = corner_points(boxes).astype(np.float32)
        tags = {"occlusion": np.arange(frames) < 20, "size_change": np.zeros(frames, bool)}
        made.append(
            Video(name, Frames("/nowhere", frames), boxes.astype(np.float32), np.ones(frames, bool), (), polygons, tags)
        )
    return VideoSet.from_videos("VOT2019", made)


@pytest.fixture
def supervised(tmp_path, videos):
    """A tracker that is right, but for a failure in the second video's frame 30."""
    for video in videos:
        codes = np.full(len(video), -1)
        codes[0] = 1
        if video.name == "book":
            codes[30:36] = [2, 0, 0, 0, 0, 1]
        folder = tmp_path / f"results/VOT2019/a/baseline/{video.name}"
        folder.mkdir(parents=True)
        (folder / f"{video.name}_001.txt").write_text(rows_of(video.boxes, codes))
    return tmp_path / "results"


def test_supervised(tmp_path, videos, supervised):
    summary = evaluate(videos, supervised, None, tmp_path / "out", QUIET, result_format="vot", quiet=True)["a"]
    assert summary["accuracy"] == pytest.approx(1, abs=0.02)  # two decimals may move an edge by a pixel
    assert summary["failures"] == 1
    assert summary["robustness"] == pytest.approx(100 / 130)
    assert 0 < summary["eao"] < 1
    table = json.loads((tmp_path / "out/table.json").read_text())
    assert table["protocol"] == "vot"
    assert set(table["attributes"]["a"]) == {"occlusion", "empty"}  # no frame has size_change
    assert "Regions are cut at the frame's left and top edges only." in table["notes"]


def test_repetitions_count_alike(videos, supervised):
    folder = supervised / "VOT2019/a/baseline/book"
    once = evaluate(videos, supervised, options=QUIET, result_format="vot", quiet=True)["a"]
    for number in (2, 3):
        (folder / f"book_{number:03d}.txt").write_text((folder / "book_001.txt").read_text())
    assert evaluate(videos, supervised, options=QUIET, result_format="vot", quiet=True)["a"] == pytest.approx(once)


def test_bounds_need_what_they_cut_at(videos, supervised):
    with pytest.raises(SpotError, match="bounds=frame needs the frames of VOT2019"):
        evaluate(videos, supervised, options=Options(bounds="frame"), result_format="vot", quiet=True)
    summary = evaluate(
        videos,
        supervised,
        options=Options(bounds="polygons", plots=False, report=False),
        result_format="vot",
        quiet=True,
    )
    assert summary["a"]["failures"] == 1


def test_published_bounds_read_boxes_as_points():
    """A video of boxes among videos of polygons is cut at its largest x or width, y or height, as in published figures."""
    boxes = np.tile(np.float32([100, 50, 60.5, 20]), (60, 1))
    frames = Frames("/nowhere", 60), Frames("/nowhere", 70)
    polygons = corner_points(np.tile([10, 20, 30.2, 40], (70, 1))).astype(np.float32)
    present = np.ones(70, bool)
    ants, book = ("ants", frames[0], boxes, present[:60]), ("book", frames[1], polygons[:, :4], present)
    mixed = VideoSet.from_videos("VOT2019", [Video(*ants), Video(*book, polygons=polygons)])
    bounds = VotEvaluator(mixed, "VOT2019", Options(bounds="polygons"), long_term=False).bounds
    np.testing.assert_array_equal([bounds["ants"], bounds["book"]], [[100, 50], [41, 60]])
    alone = VideoSet.from_videos("VOT2018-LT", [Video(*ants)])
    alone_bounds = VotEvaluator(alone, "VOT2018-LT", Options(bounds="polygons"), long_term=True).bounds
    np.testing.assert_array_equal(alone_bounds["ants"], [161, 70])


def test_unsupervised_results_are_refused(videos, supervised):
    file = supervised / "VOT2019/a/baseline/ants/ants_001.txt"
    file.write_text(rows_of(videos["ants"].boxes, np.full(60, -1)))
    with pytest.raises(SpotError, match=r"ants_001.txt: no row is 1 \(initialised\)"):
        evaluate(videos, supervised, options=QUIET, result_format="vot", quiet=True)


def test_wrong_rows_are_named(videos, supervised):
    file = supervised / "VOT2019/a/baseline/ants/ants_001.txt"
    file.write_text("1\n")
    with pytest.raises(SpotError, match=r"ants_001.txt: 1 rows, but video ants has 60 frames"):
        evaluate(videos, supervised, options=QUIET, result_format="vot", quiet=True)


@pytest.fixture
def long_term(tmp_path, videos):
    """A target that is away for a while, and a tracker that knows."""
    absent = np.zeros(130, bool)
    absent[20:30] = True
    videos.visible = ~absent
    videos.boxes[absent] = np.nan
    videos = VideoSet("VOT2018-LT", videos.names, videos.frames, videos.boxes, videos.visible)
    for video in videos:
        folder = tmp_path / f"results/a/longterm/{video.name}"
        folder.mkdir(parents=True)
        codes = np.full(len(video), -1)
        codes[0] = 1
        boxes = np.nan_to_num(video.boxes) + np.where(video.visible, 0, [[5], [5]][0])[:, None]
        (folder / f"{video.name}_001.txt").write_text(rows_of(boxes, codes))
        confidences = np.where(video.visible, 0.9, 0.1)[1:]
        (folder / f"{video.name}_001_confidence.value").write_text("\n" + "".join(f"{c}\n" for c in confidences))
        (folder / f"{video.name}_time.txt").write_text("0.1\n" * len(video))
    return videos, tmp_path / "results"


def test_long_term(tmp_path, long_term):
    videos, results = long_term
    summary = evaluate(videos, results, None, tmp_path / "out", QUIET, result_format="vot_lt", quiet=True)["a"]
    assert summary["precision"] == pytest.approx(1, abs=0.02)
    assert summary["recall"] == pytest.approx(1, abs=0.04)  # the first frame is given and does not count
    assert summary["fps"] == pytest.approx(10)


def test_long_term_needs_confidences(long_term):
    videos, results = long_term
    next(results.rglob("book_001_confidence.value")).unlink()
    with pytest.raises(SpotError, match=r"has no book_001_confidence\.value"):
        evaluate(videos, results, options=QUIET, result_format="vot_lt", quiet=True)


def test_rows_beyond_the_video_are_cut_with_a_warning(tmp_path, videos, supervised):
    """As VOT's toolkit does; real files of real trackers have them."""
    exact = evaluate(videos, supervised, options=QUIET, result_format="vot", quiet=True)
    with open(supervised / "VOT2019/a/baseline/ants/ants_001.txt", "a") as file:
        file.write("1,2,3,4\n" * 7)
    assert evaluate(videos, supervised, None, tmp_path / "out", QUIET, result_format="vot", quiet=True) == exact
    assert "a: 1 result files have more rows than frames" in (tmp_path / "out/table.md").read_text()


def test_a_failure_just_before_the_end_of_a_short_video(videos, supervised):
    codes = np.full(60, -1)
    codes[[0, 55]] = 1, 2
    codes[56:] = 0
    file = supervised / "VOT2019/a/baseline/ants/ants_001.txt"
    file.write_text(rows_of(videos["ants"].boxes, codes))
    assert evaluate(videos, supervised, options=QUIET, result_format="vot", quiet=True)["a"]["failures"] == 2
