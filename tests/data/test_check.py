"""The check finds what training would stumble over, and says which file it is."""

import cv2
import numpy as np
import pytest

from spot.data.check import check_videos
from spot.data.datasets import folder
from spot.data.video import Frames, Video, VideoSet
from tests.data import layouts


def check(root, **options):
    """Faults by video."""
    return {f.video: list(f.faults) for f in check_videos(folder.load(str(root)), **options)}


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
        faults = {f.video: f.faults for f in check_videos(videos, quick)}
        assert faults == {"a": (), "b": (f"{two}/b/00000003.jpg: missing",)}


def test_many_missing_frames_are_counted(two):
    videos = folder.load(str(two))
    for i in range(1, 6):
        (two / "b" / f"{i:08d}.jpg").unlink()
    (finding,) = check_videos(videos.subset(["b"]), quick=True)
    assert len(finding.faults) == 4
    assert finding.faults[-1] == f"{two}/b: 2 more such frames"


def test_images_without_annotation(two):
    videos = folder.load(str(two))
    (two / "a" / "00000007.jpg").write_bytes(layouts.jpeg())
    assert [f.faults for f in check_videos(videos.subset(["a"]), quick=True)] == [
        (f"{two}/a: 1 images more than the 6 annotated frames",)
    ]
    assert [f.faults for f in check_videos(videos.subset(["a"]), quick=True, exact=False)] == [()]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "00000002.jpg: "),
        (layouts.jpeg()[:300], "00000002.jpg: corrupt JPEG"),
        (b"\0" * 500, "00000002.jpg: corrupt"),
        (
            cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1].tobytes(),
            "30 x 20 pixels, the frames before it 64 x 48",
        ),
    ],
    ids=["empty", "cut short", "zeros", "of another size"],
)
def test_frames_that_cannot_be_used(two, content, said):
    (two / "b" / "00000002.jpg").write_bytes(content)
    faults = check(two)
    assert faults["a"] == []
    assert said in faults["b"][0]
    assert check(two, quick=True) == {"a": [], "b": []}, "quick does not decode"


def test_boxes_outside_the_image(two):
    layouts.write_text(two / "a" / "groundtruth.txt", "1,1,5,5\n" * 4 + "64,1,5,5\n-5,1,5,5\n")
    faults = check(two)["a"]
    assert [f.split(":")[0].rpartition("/")[2] for f in faults] == ["00000005.jpg", "00000006.jpg"]
    assert all("lies outside 64 x 48 pixels" in f for f in faults)


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
    faults = next(check_videos(VideoSet.from_videos("X", [packed]), quick=True)).faults
    assert faults == (f"{two}/a.zip!/00000007.jpg: missing",)
