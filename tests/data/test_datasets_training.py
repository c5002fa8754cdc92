"""Training sets in their own layouts: LaSOT, GOT-10k, TrackingNet, and folders of one's own."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from spot.data.datasets import folder, got10k, lasot, trackingnet
from spot.data.images import read_frame
from spot.data.key_frame_sampling import sample_key_frames
from spot.data.training_sets import key_frames_of
from spot.runtime.errors import SpotError
from tests.data import layouts


def assert_truth(videos, truth, prefix=""):
    for video in videos:
        expected = truth[video.name.removeprefix(prefix)]
        np.testing.assert_array_equal(video.boxes, expected.astype(np.float32))
        frame = read_frame(video.frames.path(len(video) - 1))
        assert (frame.width, frame.height) == (layouts.WIDTH, layouts.HEIGHT)


def test_lasot_training_set(tmp_path):
    truth = layouts.write_lasot(tmp_path)
    videos = lasot.load(str(tmp_path), "train")
    assert (videos.name, videos.split, videos.names) == ("LaSOT", "train", ["LaSOT_bird-2", "LaSOT_airplane-10"])
    assert_truth(videos, truth, "LaSOT_")
    assert videos[0].visible.tolist() == [True, False, False, False, True, True, True, True]


def test_lasot_test_set_has_bare_names_and_attributes(tmp_path):
    layouts.write_lasot(tmp_path)
    (video,) = lasot.load(str(tmp_path), "test")
    assert video.name == "airplane-1"
    assert video.attributes == ("Illumination Variation", "Aspect Ratio Change")


def test_lasot_by_field_lists(tmp_path):
    """Without its own lists, a split is a list file of `paths.splits` or a path; names or indices into sorted names."""
    layouts.write_lasot(tmp_path / "data")
    (tmp_path / "data" / "training_set.txt").unlink()
    layouts.write_text(tmp_path / "splits" / "lasot_train_split.txt", "airplane-10\n")
    layouts.write_text(tmp_path / "mine.txt", "2\n1\n")
    root, splits = str(tmp_path / "data"), str(tmp_path / "splits")
    assert lasot.load(root, "train", splits).names == ["LaSOT_airplane-10"]
    chosen = lasot.load(root, str(tmp_path / "mine.txt"))
    assert (chosen.names, chosen.split) == (["LaSOT_bird-2", "LaSOT_airplane-10"], "mine")
    with pytest.raises(SpotError, match=r"lasot_train_split\.txt"):
        lasot.load(root, "train")


def test_lasot_training_split_may_not_hold_test_videos(tmp_path):
    layouts.write_lasot(tmp_path)
    layouts.write_text(tmp_path / "leaky.txt", "bird-2\nairplane-1\n")
    with pytest.raises(SpotError, match=r"airplane-1 .* LaSOT's test set"):
        lasot.load(str(tmp_path), str(tmp_path / "leaky.txt"))


@pytest.mark.parametrize(
    ("archive", "inside"),
    [("airplane.zip", ""), ("airplane.zip", "airplane/"), ("part_1.tar", "LaSOT/airplane/")],
    ids=["videos at the top", "below the category", "a tar of another name"],
)
def test_lasot_categories_may_stay_packed(tmp_path, archive, inside):
    """An archive with or without the category's folder in it, beside an unpacked category."""
    truth = layouts.write_lasot(tmp_path)
    layouts.pack_folder(tmp_path / "airplane", tmp_path / archive, inside)
    videos = lasot.load(str(tmp_path), "train", cache=str(tmp_path / "cache"))
    assert videos["LaSOT_airplane-10"].frames.path(0).startswith(f"{tmp_path}/{archive}!/")
    assert_truth(videos, truth, "LaSOT_")
    assert_truth(lasot.load(str(tmp_path), "train", cache=str(tmp_path / "cache")), truth, "LaSOT_")


def test_a_zip_cut_short_is_named(tmp_path):
    layouts.write_lasot(tmp_path)
    layouts.pack_folder(tmp_path / "airplane", tmp_path / "airplane.zip")
    whole = (tmp_path / "airplane.zip").read_bytes()
    (tmp_path / "airplane.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SpotError, match=r"airplane\.zip"):
        lasot.load(str(tmp_path), "train")


def test_lasot_extension(tmp_path):
    truth = layouts.write_lasot(tmp_path, train=("atv-1", "badminton-2"), test=("atv-10",))
    videos = lasot.load_extension(str(tmp_path))
    assert videos.names == ["atv-1", "atv-10", "badminton-2"]
    assert_truth(videos, truth)


def test_got10k_splits(tmp_path):
    truth = layouts.write_got10k(tmp_path)
    layouts.write_text(tmp_path / "splits" / "got10k_vot_train_split.txt", "2\n0\n")
    videos = got10k.load(str(tmp_path), "vottrain", str(tmp_path / "splits"))
    assert (videos.name, videos.split) == ("GOT-10k", "vottrain")
    assert videos.names == ["GOT-10k_Train_000003", "GOT-10k_Train_000001"]
    assert_truth(videos, truth)
    assert videos[0].visible.tolist() == [True, True, False, False, True, True]
    assert len(got10k.load(str(tmp_path), "all")) == 3
    assert got10k.load(str(tmp_path), "val").names[0] == "GOT-10k_Val_000001"


def test_got10k_test_videos_have_their_first_box_alone(tmp_path):
    truth = layouts.write_got10k(tmp_path)
    video = got10k.load(str(tmp_path), "test")[0]
    assert len(video) == 6
    np.testing.assert_array_equal(video.boxes[0], truth[video.name][0])
    assert np.isnan(video.boxes[1:]).all()
    assert video.visible.tolist() == [True] + [False] * 5


def test_got10k_index_beyond_an_incomplete_set(tmp_path):
    layouts.write_got10k(tmp_path)
    layouts.write_text(tmp_path / "splits" / "got10k_vot_train_split.txt", "9334\n")
    with pytest.raises(SpotError, match="index 9334 of 3 videos"):
        got10k.load(str(tmp_path), "vottrain", str(tmp_path / "splits"))


def test_got10k_parts_may_stay_zipped(tmp_path):
    """The download comes as archives of other names than their videos, without a list."""
    truth = layouts.write_got10k(tmp_path)
    for name in ("GOT-10k_Train_000001", "GOT-10k_Train_000003"):
        layouts.pack_folder(tmp_path / "train" / name, tmp_path / "train" / f"part_{name[-1]}.zip", f"{name}/")
    (tmp_path / "train" / "list.txt").unlink()
    videos = got10k.load(str(tmp_path), "all")
    assert videos.names == [f"GOT-10k_Train_{i:06d}" for i in (1, 2, 3)]
    assert_truth(videos, truth)


def test_trackingnet_sets(tmp_path):
    truth = layouts.write_trackingnet(tmp_path, sets=(0, 1, 11))
    videos = trackingnet.load(str(tmp_path), "0-1")
    assert (videos.name, videos.split) == ("TrackingNet", "0-1")
    assert videos.names[:3] == [f"TrackingNet_0{n}_train_{n}-vid_{v}" for n, v in ((0, 0), (0, 1), (1, 0))]
    assert_truth(videos, truth)
    assert trackingnet.load(str(tmp_path), "1, 11").split == "1,11"
    assert trackingnet.load(str(tmp_path), 11)[0].name.startswith("TrackingNet_11_")
    assert trackingnet.load(str(tmp_path), "test")[0].boxes.shape == (61, 4)


def test_trackingnet_by_list(tmp_path):
    layouts.write_trackingnet(tmp_path)
    layouts.write_text(tmp_path / "few.txt", "01,train_1-vid_0\n00,train_0-vid_1\n")
    assert trackingnet.load(str(tmp_path), str(tmp_path / "few.txt")).names == [
        "TrackingNet_01_train_1-vid_0",
        "TrackingNet_00_train_0-vid_1",
    ]


@pytest.mark.parametrize("split", ["0-12", "a", "3-1", "", "0-", "-1"])
def test_trackingnet_other_splits_are_refused(tmp_path, split):
    with pytest.raises(SpotError, match="split="):
        trackingnet.load(str(tmp_path), split)


def test_trackingnet_missing_set_is_named(tmp_path):
    layouts.write_trackingnet(tmp_path)
    with pytest.raises(SpotError, match="TRAIN_2"):
        trackingnet.load(str(tmp_path), "0-2")


def test_trackingnet_frames_may_stay_zipped(tmp_path):
    truth = layouts.write_trackingnet(tmp_path, sets=(0,))
    frames = tmp_path / "TRAIN_0" / "frames"
    (tmp_path / "TRAIN_0" / "zips").mkdir()
    layouts.pack_folder(frames / "train_0-vid_1", tmp_path / "TRAIN_0" / "zips" / "train_0-vid_1.zip")
    videos = trackingnet.load(str(tmp_path), "0")
    assert videos[1].frames.path(60).endswith("zips/train_0-vid_1.zip!/60.jpg")
    assert_truth(videos, truth)


def test_folder_follows_its_list_or_its_names(tmp_path):
    truth = layouts.write_folder(tmp_path / "train")
    assert folder.load(str(tmp_path), "train").names == ["b", "a"]
    (tmp_path / "train" / "list.txt").unlink()
    videos = folder.load(str(tmp_path / "train"), name="Mine")
    assert (videos.name, videos.split, videos.names) == ("Mine", "", ["a", "b"])
    assert_truth(videos, truth)
    assert videos[0].visible.tolist() == [True, True, False, False, True, True]


def test_folder_reads_images_of_any_name(tmp_path):
    """Names that follow no pattern, and numbers without leading zeros, in their right order."""
    layouts.write_folder(tmp_path, ("a", "b"), 11)
    for i in range(1, 12):
        (tmp_path / "a" / f"{i:08d}.jpg").rename(tmp_path / "a" / f"frame {i:02d}é.JPEG")
        (tmp_path / "b" / f"{i:08d}.jpg").rename(tmp_path / "b" / f"{i}.jpg")
    videos = folder.load(str(tmp_path), cache=str(tmp_path / "cache"))
    again = folder.load(str(tmp_path), cache=str(tmp_path / "cache"))
    for opened in (videos, again, pickle.loads(pickle.dumps(again))):
        assert opened["a"].frames.path(9).endswith("frame 10é.JPEG")
        assert opened["b"].frames.path(9).endswith("/10.jpg")


def test_folder_with_unicode_names_and_links(tmp_path):
    truth = layouts.write_folder(tmp_path / "ordner", ("猫", "vidéo 2"))
    (tmp_path / "linked").symlink_to(tmp_path / "ordner")
    os.symlink(tmp_path / "ordner" / "猫", tmp_path / "ordner" / "link")
    (tmp_path / "ordner" / "list.txt").unlink()
    videos = folder.load(str(tmp_path / "linked"))
    assert videos.names == ["link", "vidéo 2", "猫"]
    np.testing.assert_array_equal(videos["link"].boxes, truth["猫"])


def test_folder_annotated_in_its_first_frame_alone(tmp_path):
    layouts.write_folder(tmp_path, ("a",))
    layouts.write_text(tmp_path / "a" / "groundtruth.txt", "1,2,30,20\n")
    for label in ("absence", "cover"):
        (tmp_path / "a" / f"{label}.label").unlink()
    (video,) = folder.load(str(tmp_path))
    assert len(video) == 6
    assert video.visible.tolist() == [True] + [False] * 5


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        (7, 6, "groundtruth.txt: 7 rows for 6 frames"),
        (5, 6, "groundtruth.txt: 5 rows for 6 frames"),
        (6, 5, "absence.label: 5 rows for 6 frames"),
    ],
    ids=["more rows than frames", "fewer rows than frames", "labels cut short"],
)
def test_counts_that_do_not_fit_are_named(tmp_path, rows, labels, said):
    layouts.write_folder(tmp_path, ("a",))
    layouts.write_text(tmp_path / "a" / "groundtruth.txt", "1,2,3,4\n" * rows)
    layouts.write_text(tmp_path / "a" / "absence.label", "0\n" * labels)
    with pytest.raises(SpotError, match=said):
        folder.load(str(tmp_path))


@pytest.mark.parametrize(
    ("load", "key", "variable"),
    [
        (lasot.load, "lasot", "LASOT_ROOT"),
        (lasot.load_extension, "lasot_extension", "LASOT_EXTENSION_ROOT"),
        (got10k.load, "got10k", "GOT10K_ROOT"),
        (trackingnet.load, "trackingnet", "TRACKINGNET_ROOT"),
        (folder.load, "folder", "FOLDER_ROOT"),
    ],
)
def test_a_root_that_is_not_set_says_how_to_set_it(load, key, variable, tmp_path):
    with pytest.raises(SpotError, match=f"paths.{key} is not set.*{variable}.*data=synthetic"):
        load(None)
    with pytest.raises(SpotError, match=f"nowhere is not a folder; correct paths.{key} or {variable}"):
        load(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("load", [lasot.load_extension, got10k.load, trackingnet.load, folder.load, lasot.load])
def test_an_empty_root_is_named(load, tmp_path):
    with pytest.raises(SpotError) as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_unreadable_annotations_are_named(tmp_path):
    """A folder in the file's place stands for whatever the system refuses to read, permissions among them."""
    layouts.write_folder(tmp_path, ("a",))
    (tmp_path / "a" / "groundtruth.txt").unlink()
    (tmp_path / "a" / "groundtruth.txt").mkdir()
    with pytest.raises(SpotError, match=r"a/groundtruth\.txt: Is a directory"):
        folder.load(str(tmp_path))


def test_broken_videos_can_be_collected(tmp_path):
    layouts.write_folder(tmp_path, ("a", "b", "c"))
    layouts.write_text(tmp_path / "a" / "groundtruth.txt", "1,2,3\n")
    (tmp_path / "c" / "groundtruth.txt").unlink()
    with pytest.raises(SpotError, match=r"a/groundtruth.txt: line 1 .*\(1 more cannot be read"):
        folder.load(str(tmp_path))
    broken: list[str] = []
    assert folder.load(str(tmp_path), cache=str(tmp_path / "cache"), broken=broken).names == ["b"]
    assert len(broken) == 2
    assert "c/groundtruth.txt: No such file" in broken[1]
    assert not list((tmp_path / "cache").glob("*")), "an incomplete set must not be cached"


def test_a_folder_may_be_annotated_sparsely(tmp_path):
    """Rows frame,x,y,w,h, or NaN rows, with any frame the first; every hand-drawn box is a key frame."""
    layouts.write_folder(tmp_path, ("rows", "nan"), frames=3)
    frames = 3
    for name in ("absence.label", "cover.label"):
        for video in ("rows", "nan"):
            (tmp_path / video / name).unlink(missing_ok=True)
    layouts.write_text(tmp_path / "rows" / "groundtruth.txt", "1,5,6,7,8\n")
    layouts.write_text(tmp_path / "nan" / "groundtruth.txt", "nan,nan,nan,nan\n" * (frames - 1) + "1,2,3,4\n")
    videos = folder.load(str(tmp_path), cache=str(tmp_path / "cache"))
    assert videos["rows"].visible.nonzero()[0].tolist() == [1]
    assert videos["rows"].boxes[1].tolist() == [5, 6, 7, 8]
    drawn = key_frames_of(videos, 3, tmp_path / "labels", 0)
    assert {name: targets[0].ids.tolist() for name, targets in drawn.targets.items()} == {
        "rows": [1],
        "nan": [frames - 1],
    }
    assert not (tmp_path / "labels").exists()  # no file: a box that is added later counts at the next start
    assert sample_key_frames(videos, 1, 0).targets["nan"][0].ids.tolist() == [frames - 1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("9,1,2,3,4\n", "row 1 names frame 9; the 3 frames"),
        ("0.5,1,2,3,4\n", "row 1 names frame 0.5"),
        ("1,1,2,3,4\n1,1,2,3,4\n", "row 2 gives frame 1 a second box"),
        ("1,1,2,3,4\n2,1,2,0,4\n", "row 2 has no box with an area"),
    ],
)
def test_wrong_sparse_rows_are_named(tmp_path, rows, said):
    layouts.write_folder(tmp_path, ("a",), frames=3, lists=False)
    layouts.write_text(tmp_path / "a" / "groundtruth.txt", rows)
    with pytest.raises(SpotError, match=rf"a/groundtruth.txt: {said}"):
        folder.load(str(tmp_path))


@pytest.mark.parametrize("line", ["../x", "/etc", "a/../../x", "..\\x"])
def test_a_list_cannot_lead_out_of_its_folder(tmp_path, line):
    layouts.write_folder(tmp_path, ("a",), frames=3, lists=False)
    layouts.write_text(tmp_path / "list.txt", f"a\n{line}\n")
    with pytest.raises(SpotError, match=r"list.txt: .* is not the name of a folder beside the list"):
        folder.load(str(tmp_path))


def test_frames_are_in_natural_order_and_clutter_is_ignored(tmp_path):
    layouts.write_folder(tmp_path, ("a",), frames=3, lists=False)
    images = sorted((tmp_path / "a").glob("*.jpg"))
    for image, number in zip(images, (2, 10, 100), strict=True):
        image.rename(tmp_path / "a" / f"frame_{number}.jpg")
        (tmp_path / "a" / f"._frame_{number}.jpg").write_bytes(b"\0\5\26\7")
    (tmp_path / "__MACOSX/a").mkdir(parents=True)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    videos = folder.load(str(tmp_path))
    assert videos.names == ["a"]
    assert [Path(videos[0].frames.path(i)).stem for i in range(3)] == ["frame_2", "frame_10", "frame_100"]
