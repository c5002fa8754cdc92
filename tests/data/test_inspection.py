"""The check finds what training would stumble over, and says which file it is."""

import cv2
import numpy as np
import pytest

from spot.data.datasets import folder
from spot.data.inspection import Report, check_videos
from spot.data.video import Frames, Video, VideoSet
from tests.data import layouts


def texts(finding):
    return [fault.text for fault in finding.faults]


def check(root, **options):
    """Faults by video."""
    return {f.video: texts(f) for f in check_videos(folder.load(str(root)), **options)}


@pytest.fixture
def two(tmp_path):
    layouts.write_folder(tmp_path, ("a", "b"))
    return tmp_path


def test_a_complete_set_has_no_faults(two):
    assert check(two) == check(two, quick=True) == check(two, workers=2) == {"a": [], "b": []}


def test_missing_frames(two):
    videos = folder.load(str(two))
    (two / "b" / "00000003.jpg").unlink()
    for quick in (True, False):
        faults = {f.video: texts(f) for f in check_videos(videos, quick)}
        assert faults == {"a": [], "b": [f"{two}/b/00000003.jpg: missing"]}


def test_equal_faults_are_grouped(two):
    videos = folder.load(str(two))
    for i in range(1, 6):
        (two / "b" / f"{i:08d}.jpg").unlink()
    (two / "a" / "00000001.jpg").unlink()
    report = Report()
    lines = [line for finding in check_videos(videos, quick=True) for line in report.add(finding)]
    assert [line.rpartition("/")[2] for line in lines] == [f"{i:08d}.jpg: missing" for i in (1, 1, 2, 3)]
    assert report.summary() == ["missing frame: 6 in 2 videos"]
    assert len(report) == 6


def test_images_without_annotation(two):
    videos = folder.load(str(two))
    (two / "a" / "00000007.jpg").write_bytes(layouts.jpeg())
    assert [tuple(texts(f)) for f in check_videos(videos.subset(["a"]), quick=True)] == [
        (f"{two}/a: 1 images more than the 6 annotated frames",)
    ]
    assert [tuple(texts(f)) for f in check_videos(videos.subset(["a"]), quick=True, exact=False)] == [()]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "00000002.jpg: "),
        (layouts.jpeg()[:300], "00000002.jpg: corrupt JPEG"),
        (b"\0" * 500, "00000002.jpg: corrupt"),
    ],
    ids=["empty", "cut short", "zeros"],
)
def test_frames_that_cannot_be_used(two, content, said):
    (two / "b" / "00000002.jpg").write_bytes(content)
    faults = check(two)
    assert faults["a"] == []
    assert said in faults["b"][0]
    assert check(two, quick=True) == {"a": [], "b": []}, "quick does not decode"


def test_sizes_may_change_and_odd_jpegs_are_counted(two):
    small = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    (two / "b" / "00000002.jpg").write_bytes(small[:-2])
    layouts.write_text(two / "b" / "groundtruth.txt", "1,1,5,5\n" * 6)
    report = Report()
    for finding in check_videos(folder.load(str(two))):
        assert report.add(finding) == []
    assert report.summary() == ["still readable: 1 JPEG file (no end marker)"]


def test_wrong_boxes_name_file_and_row(two):
    rows = ["1,1,5,5"] * 6
    rows[0], rows[2], rows[4], rows[5] = "64,1,5,5", "1,1,-5,-5", "1,1,0,5", "-5,1,5,5"
    layouts.write_text(two / "a" / "groundtruth.txt", "".join(f"{row}\n" for row in rows))
    (two / "a" / "absence.label").unlink()
    (two / "a" / "cover.label").unlink()
    file = f"{two}/a/groundtruth.txt"
    assert check(two)["a"] == [
        f"{file}: row 3: the box [1, 1, -5, -5] has no area",
        f"{file}: row 5: the box [1, 1, 0, 5] has no area",
        f"{file}: row 1: the box [64, 1, 5, 5] lies outside the 64 x 48 pixels of {two}/a/00000001.jpg",
        f"{file}: row 6: the box [-5, 1, 5, 5] lies outside the 64 x 48 pixels of {two}/a/00000006.jpg",
    ]
    cached = folder.load(str(two), cache=str(two / "cache"))
    assert cached["a"].annotation == cached.subset(["a"])[0].annotation == file


def test_invisible_targets(two):
    layouts.write_text(two / "a" / "absence.label", "1\n" * 6)
    assert "visible in no frame" in check(two, quick=True)["a"][0]


def test_unreadable_files(two):
    """A folder in a frame's place stands for whatever the system refuses to read, permissions among them."""
    (two / "a" / "00000001.jpg").unlink()
    (two / "a" / "00000001.jpg").mkdir()
    assert "00000001.jpg: Is a directory" in check(two)["a"][0]


def test_frames_in_archives(two):
    layouts.pack_folder(two / "a", two / "a.zip")
    packed = Video("a", Frames(f"{two}/a.zip!", 7), np.zeros((7, 4), np.float32), np.ones(7, bool))
    faults = texts(next(check_videos(VideoSet.from_videos("X", [packed]), quick=True)))
    assert faults == [f"{two}/a.zip!/00000007.jpg: missing"]
