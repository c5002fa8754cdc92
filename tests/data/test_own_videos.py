"""Video files and folders of images: extraction, manifests, labels, and what can be wrong with them."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from spot.data import extraction, video_files
from spot.data.box_table import BoxTable
from spot.data.datasets.videos import frame_sizes, load, manifest_of
from spot.data.images import read_frame
from spot.data.key_frames import KeyFrames
from spot.data.labels import labels_file, merge_labels
from spot.data.training_sets import key_frames_of
from spot.runtime.errors import SpotError
from spot.tracking.video_tracker import read_video
from tests.data.clips import HEIGHT, WIDTH, moving_square, write_clip


def open_set(folder: Path, **options: object):
    return load(str(folder / "clips"), str(folder / "frames"), str(folder / "labels"), **options)  # type: ignore[arg-type]


def write_images(folder: Path, count: int = 12) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"frame_{i + 1}.png"), moving_square(i)[:, :, ::-1])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clips/: an mp4, a webm with a variable frame rate, a folder of images; what a Mac leaves behind."""
    home = tmp_path_factory.mktemp("mixed")
    (home / "clips").mkdir()
    write_clip(home / "clips/car.mp4")
    write_clip(home / "clips/Dog.webm", codec="libvpx", times=[0, 3, 4, 20, 21, 22, 50, 51, 52, 53, 54, 99])
    write_images(home / "clips/walk")
    (home / "clips/._car.mp4").write_bytes(b"\0\5\26\7")
    (home / "clips/__MACOSX").mkdir()
    (home / "clips/notes.txt").write_text("not a video")
    open_set(home)
    return home


def test_frames_of_files_and_folders_are_in_order(mixed: Path):
    videos = open_set(mixed)
    assert videos.names == ["Dog", "car", "walk"]
    for video in videos:
        assert len(video) == 12
        assert np.isnan(video.boxes).all()
        assert not video.visible.any()
        for i in (0, 5, 11):
            pixels = read_frame(video.frames.path(i)).pixels
            assert np.abs(pixels[40:].astype(int) - moving_square(i)[40:]).mean() < 4, (video.name, i)
    assert frame_sizes(videos) == dict.fromkeys(videos.names, (12, WIDTH, HEIGHT))


def test_a_variable_frame_rate_is_kept_frame_by_frame(mixed: Path):
    times = manifest_of(open_set(mixed), "Dog").times
    assert times == pytest.approx(np.array([0, 3, 4, 20, 21, 22, 50, 51, 52, 53, 54, 99]) / 100, abs=2e-3)


def test_frames_are_extracted_once(mixed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extraction, "decode_video", lambda file: pytest.fail(f"{file} is decoded again"))
    assert len(open_set(mixed)) == 3
    os.utime(mixed / "clips/car.mp4")  # touched, with the same content
    assert len(open_set(mixed)) == 3


def test_opencv_gives_the_same_frames(mixed: Path, monkeypatch: pytest.MonkeyPatch):
    with_pyav = [f.pixels() for f in video_files.decode_video(mixed / "clips/car.mp4")]
    monkeypatch.setattr(video_files, "has_pyav", lambda: False)
    with_opencv = [f.pixels() for f in video_files.decode_video(mixed / "clips/car.mp4")]
    assert len(with_pyav) == len(with_opencv) == 12
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(with_pyav, with_opencv, strict=True)) < 3


def test_labels_of_two_targets_become_key_frames(mixed: Path):
    videos = open_set(mixed)
    file = labels_file(mixed / "labels", videos.name)
    rows = [
        ("car", 1, 7, (1, 2, 30, 40)),
        ("car", 1, 9, None),
        ("car", 2, 3, (5, 6, 7.5, 8)),
        ("walk", 1, 0, (0, 0, 9, 9)),
    ]
    merge_labels(file, BoxTable.from_rows(rows[:2]), frame_sizes(videos))
    merge_labels(file, BoxTable.from_rows(rows[1:]), frame_sizes(videos))
    try:
        opened = open_set(mixed)
        assert opened["car"].boxes[7].tolist() == [1, 2, 30, 40]
        assert opened["car"].visible.nonzero()[0].tolist() == [7]
        drawn = key_frames_of(opened, 3, mixed, 0)
        assert [t.ids.tolist() for t in drawn.targets["car"]] == [[7], [3]]
        assert drawn.targets["car"][1].boxes.tolist() == [[5, 6, 7.5, 8]]
        assert drawn.failures == ["Dog"]
        drawn.write(mixed / "own.json")
        assert KeyFrames.read(mixed / "own.json", opened).targets["car"][1].own
        only_walk = KeyFrames.of_hand_drawn(opened.subset(["walk"]))
        assert only_walk is not None
        assert only_walk.boxes == 1
    finally:
        file.unlink()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("cart,1,0,1,2,3,4,0", "unknown video cart; the videos are called"),
        ("car,1,12,1,2,3,4,0", "car has no frame 12; its 12 frames are numbered from 0"),
        ("car,1,3,200,2,3,4,0", r"frame 3: the box \[200.0, 2.0, 3.0, 4.0\] lies outside the image of 96 x 64"),
        ("car,1,3,1,2,0,4,0", "line 2: 1,2,0,4 is not a box with an area"),
        ("car,1,3,1,2,x,4,0", "line 2: could not convert"),
        ("car,1,3,1,2,3,4,0\ncar,1,3,1,2,3,4,0", "target 1 has two boxes in frame 3"),
        ("car,1,3,1,2,3,4,1", "line 2: there is a box, but the target is absent"),
        ('"=cmd\n",1,3,1,2,3,4,0', "not the name of a video"),
    ],
)
def test_wrong_labels_are_named(mixed: Path, rows: str, said: str):
    file = labels_file(mixed / "labels", "clips")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"video,target,frame,x,y,w,h,absent\n{rows}\n")
    try:
        with pytest.raises(SpotError, match=said):
            open_set(mixed)
    finally:
        file.unlink()


def test_rotation_is_applied(tmp_path: Path):
    file = write_clip(tmp_path / "a.mp4", 2)
    data = bytearray(file.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix of a version 0 track header
    turn = [0, 1 << 16, 0, -(1 << 16) & 0xFFFFFFFF, 0, 0, 0, 0, 1 << 30]  # 90 degrees clockwise
    data[at : at + 36] = b"".join(value.to_bytes(4, "big") for value in turn)
    file.write_bytes(data)
    upright = np.rot90(moving_square(0), -1)
    for frame in list(video_files.decode_video(file))[:1]:
        assert (frame.width, frame.height) == (HEIGHT, WIDTH)
        assert np.abs(frame.pixels().astype(int) - upright).mean() < 4


def test_a_changed_or_deleted_source_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "a.mp4", 3)
    write_images(clips / "b", 3)
    open_set(tmp_path)
    shutil.copy(write_clip(tmp_path / "other.mp4", 4), clips / "a.mp4")
    with pytest.raises(SpotError, match=r"a\.mp4 is not what it was"):
        open_set(tmp_path)
    (clips / "a.mp4").unlink()
    (clips / "b/frame_2.png").unlink()
    with pytest.raises(SpotError, match=r"clips/b is not what it was"):
        open_set(tmp_path)
    shutil.rmtree(clips / "b")
    write_images(clips / "c", 3)
    with caplog.at_level(logging.WARNING):
        assert open_set(tmp_path).names == ["a", "c"]
    assert "a.mp4 is missing; its extracted frames are used" in caplog.text


def test_a_broken_tail_is_kept_up_to_the_break(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "clips").mkdir()
    file = write_clip(tmp_path / "clips/a.mp4", 40, options={"movflags": "faststart"})
    file.write_bytes(file.read_bytes()[:-600])
    with caplog.at_level(logging.WARNING):
        videos = open_set(tmp_path)
    assert 1 <= len(videos["a"]) < 40
    assert f"a.mp4: breaks off after {len(videos['a'])} " in caplog.text
    caplog.clear()
    assert len(list(read_video(file))) == len(videos["a"])
    assert f"a.mp4: breaks off after {len(videos['a'])} " in caplog.text


def test_a_broken_tail_is_noticed_where_the_file_does_not_count_its_frames(tmp_path: Path):
    file = write_clip(tmp_path / "a.mkv", 40)  # 1.6 seconds
    assert len(list(video_files.decode_video(file))) == 40
    file.write_bytes(file.read_bytes()[:-600])
    found: list[video_files.DecodedFrame] = []
    with pytest.raises(video_files.BrokenTail, match=r"breaks off after [01]\.\d of 1\.6 seconds"):
        found.extend(video_files.decode_video(file))
    assert 1 <= len(found) < 40


def test_an_interrupted_extraction_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = write_clip(tmp_path / "a.mp4", 30)
    seen = []

    def stop() -> None:
        seen.append(1)
        if len(seen) == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extraction.extract(file, tmp_path / "out/a", "a", stop)
    written = len(list((tmp_path / "out/a.partial").glob("*.jpg")))
    assert written > 10
    assert not (tmp_path / "out/a").exists()
    encoded = []
    encode = extraction.simplejpeg.encode_jpeg
    monkeypatch.setattr(extraction.simplejpeg, "encode_jpeg", lambda *a: encoded.append(1) or encode(*a))
    (tmp_path / "out/a.partial/000003.jpg").write_bytes(b"")  # a power cut
    assert extraction.extract(file, tmp_path / "out/a", "a").count == 30
    assert len(encoded) == 30 - written + 1
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["a"]
    assert json.loads((tmp_path / "out/a/manifest.json").read_text())["width"] == WIDTH


def test_unusable_files_are_named_and_the_others_kept(tmp_path: Path):
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "empty.mp4").write_bytes(b"")
    (clips / "text.mov").write_text("not a video " * 100)
    (clips / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    whole = write_clip(tmp_path / "whole.mp4").read_bytes()
    (clips / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # its index is at the end
    (clips / "folder").mkdir()
    write_clip(clips / "good.avi", 3, "mpeg4")
    broken: list[str] = []
    assert open_set(tmp_path, broken=broken).names == ["good"]
    assert len(broken) == 5
    for name, line in zip(("cut.mp4", "empty.mp4", "folder", "list.mp4", "text.mov"), broken, strict=True):
        assert name in line
        assert "\n" not in line
    with pytest.raises(SpotError, match=r"cut\.mp4: not a video .* \(4 more cannot be used"):
        open_set(tmp_path)
    (clips / "good.mov").write_bytes(whole)
    with pytest.raises(SpotError, match=r"good\.avi and good\.mov .* are both called good; rename one"):
        open_set(tmp_path)


def test_a_change_of_resolution_is_refused(tmp_path: Path):
    first, second = (
        write_clip(tmp_path / f"{n}.ts", 3, "mpeg4", size=s) for n, s in (("a", (96, 64)), ("b", (64, 48)))
    )
    joined = tmp_path / "joined.avi"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(SpotError, match="not a video"):  # a transport stream is no container of ours, whatever its name
        extraction.extract(joined, tmp_path / "out", "a")
    frames = [video_files.DecodedFrame(*size, None, lambda: moving_square(0)) for size in ((96, 64), (64, 48))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "decode_video", lambda file: iter(frames))
        with pytest.raises(SpotError, match="frame 1 has 64 x 48 pixels, the frames before it 96 x 64"):
            extraction.extract(first, tmp_path / "out", "a")


def test_an_unwritable_folder_is_named(tmp_path: Path):
    file = write_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(SpotError, match=r"out.*paths\.frames"):
        extraction.extract(file, tmp_path / "out/a", "a")
