"""Benchmarks in their own layouts, with the special cases that their files do not tell, and as pysot JSON files."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from spot.data.datasets import lasot, nfs, otb, pysot, tc128, uav, vot
from spot.data.folders import locate, names_in
from spot.data.images import read_frame
from spot.data.polygons import enclosing_boxes
from spot.runtime.errors import SpotError
from tests.data import layouts


def assert_frames_exist(videos):
    for video in videos:
        for i in (0, len(video) - 1):
            assert read_frame(video.frames.path(i)).width == layouts.WIDTH


@pytest.fixture(scope="module")
def otb_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("otb")
    return root, layouts.write_otb(root)


def test_otb_boxes_are_read_as_they_are_written(otb_root):
    root, truth = otb_root
    videos = otb.load(str(root))
    assert (videos.name, len(videos)) == ("OTB100", 100)
    assert_frames_exist(videos)
    for video in videos:
        rows = truth[video.name][5:] if video.name == "Tiger1" else truth[video.name]
        np.testing.assert_array_equal(video.boxes, rows)


@pytest.mark.parametrize(("version", "count"), [("OTB50", 50), ("OTB2013", 51)])
def test_otb_versions(otb_root, version, count):
    videos = otb.load(str(otb_root[0]), version)
    assert (videos.name, len(videos)) == (version, count)


@pytest.mark.parametrize(
    ("name", "first", "frames", "why"),
    [
        ("David", "David/img/0300.jpg", 3, "annotated from frame 300 of 770"),
        ("BlurCar1", "BlurCar1/img/0247.jpg", 3, "its images begin with 247"),
        ("BlurCar3", "BlurCar3/img/0003.jpg", 3, "its images begin with 3"),
        ("BlurCar4", "BlurCar4/img/0018.jpg", 3, "its images begin with 18"),
        ("Board", "Board/img/00001.jpg", 3, "five digits"),
        ("Football1", "Football1/img/0001.jpg", 3, "more images than annotated; so are Freeman3, Freeman4 and Diving"),
        ("Tiger1", "Tiger1/img/0006.jpg", 3, "the first five frames do not count"),
        ("Jogging-2", "Jogging/img/0001.jpg", 3, "the second of two targets"),
        ("Human4-2", "Human4/img/0001.jpg", 3, "only the second annotation counts"),
    ],
)
def test_otb_special_cases(otb_root, name, first, frames, why):
    video = otb.load(str(otb_root[0]))[name]
    assert video.frames.path(0) == f"{otb_root[0]}/{first}", why
    assert len(video) == frames, why


def test_otb_two_targets_share_frames_and_differ_in_boxes(otb_root):
    videos = otb.load(str(otb_root[0]))
    assert videos["Skating2-1"].frames.path(1) == videos["Skating2-2"].frames.path(1)
    assert not np.array_equal(videos["Skating2-1"].boxes, videos["Skating2-2"].boxes)


def test_otb_attributes_are_found_under_their_small_names(otb_root):
    assert otb.load(str(otb_root[0]))["Basketball"].attributes == ("Illumination Variation", "Low Resolution")


def test_otb_sequences_may_stay_zipped(tmp_path):
    truth = layouts.write_otb(tmp_path)
    layouts.pack_folder(tmp_path / "Board", tmp_path / "Board.zip", "Board/")
    video = otb.load(str(tmp_path))["Board"]
    assert video.frames.path(2) == f"{tmp_path}/Board.zip!/Board/img/00003.jpg"
    np.testing.assert_array_equal(video.boxes[:, 2:], truth["Board"][:, 2:])


def test_uav_cuts_long_recordings(tmp_path):
    truth = layouts.write_uav(tmp_path)
    videos = uav.load(str(tmp_path))
    assert videos.names == ["bike1", "bird1_2", "bird1_3", "car1_s"]
    assert videos["bird1_3"].frames.path(0).endswith("data_seq/UAV123/bird1/001573.jpg")
    assert videos["car1_s"].frames.path(0).endswith("data_seq/UAV123/car1_s/000001.jpg")
    assert_frames_exist(videos)
    for video in videos:
        np.testing.assert_array_equal(video.boxes, truth[video.name])
        assert video.visible.tolist() == [True, True, False, True]
    assert videos["bike1"].attributes == ("Scale Variation", "Similar Object")


def test_uav20l_uses_the_same_frames(tmp_path):
    truth = layouts.write_uav(tmp_path)
    (video,) = uav.load(str(tmp_path), "UAV20L")
    assert video.frames.path(3).endswith("data_seq/UAV123/bike1/000004.jpg")
    np.testing.assert_array_equal(video.boxes, truth["UAV20L/bike1"])


def test_nfs_reads_corners_and_every_eighth_line(tmp_path):
    truth = layouts.write_nfs(tmp_path)
    videos = nfs.load(str(tmp_path), 30)
    assert (videos.name, videos.names) == ("NFS30", ["fast", "slow"])
    assert_frames_exist(videos)
    np.testing.assert_array_equal(videos["slow"].boxes, truth["slow/30"])
    np.testing.assert_array_equal(videos["fast"].boxes, truth["fast/30"][::8])
    assert videos["fast"].visible.tolist() == [True, False, True, True, True], "line 8 says lost"
    fast = nfs.load(str(tmp_path), 240)["fast"]
    np.testing.assert_array_equal(fast.boxes, truth["fast/240"])


@pytest.mark.parametrize(
    ("rows", "frames"), [(6, 5), (4, 4), (41, 5)], ids=["row more", "row less", "eighth line more"]
)
def test_nfs_lengths_that_differ_by_one_are_cut(tmp_path, rows, frames):
    layouts.write_nfs(tmp_path)
    layouts.write_text(tmp_path / "slow" / "30" / "slow.txt", '0 1 2 11 22 0 0 0 0 "x"\n' * rows)
    assert len(nfs.load(str(tmp_path), 30)["slow"]) == frames


def test_nfs_other_lengths_are_named(tmp_path):
    layouts.write_nfs(tmp_path)
    layouts.write_text(tmp_path / "slow" / "30" / "slow.txt", '0 1 2 11 22 0 0 0 0 "x"\n' * 3)
    with pytest.raises(SpotError, match=r"slow\.txt: 3 rows for 5 frames"):
        nfs.load(str(tmp_path), 30)


def test_tc128_begins_where_its_frames_file_says(tmp_path):
    truth = layouts.write_tc128(tmp_path)
    videos = tc128.load(str(tmp_path))
    assert videos.names == ["Ball_ce1", "David", "Yo_yos_ce1"]
    assert videos["David"].frames.path(0).endswith("David/img/0300.jpg")
    assert_frames_exist(videos)
    for video in videos:
        np.testing.assert_array_equal(video.boxes, truth[video.name])


@pytest.mark.parametrize("version", ["VOT2016", "VOT2018", "VOT2019"])
def test_vot_has_polygons_boxes_and_tags(tmp_path, version):
    truth = layouts.write_vot(tmp_path, version)
    videos = vot.load(str(tmp_path), version)
    assert (videos.name, videos.names) == (version, ["ants1", "bag"])
    assert_frames_exist(videos)
    for video in videos:
        np.testing.assert_array_equal(video.polygons, layouts.corners_of(truth[video.name]))
    assert videos["bag"].frame_tags["occlusion"].tolist() == [True, True, True, False, False], "a short list"


def test_vot_toolkit_workspace(tmp_path):
    layouts.write_vot(tmp_path / "work")
    (tmp_path / "VOT2018").mkdir()
    shutil.move(tmp_path / "work" / "VOT2018", tmp_path / "VOT2018" / "sequences")
    assert_frames_exist(vot.load(str(tmp_path), "VOT2018"))


def test_vot_long_term_has_boxes_and_absent_frames(tmp_path):
    truth = layouts.write_vot(tmp_path, "VOT2018-LT")
    videos = vot.load(str(tmp_path), "VOT2018-LT")
    np.testing.assert_array_equal(videos["bag"].boxes, truth["bag"])
    assert videos["bag"].polygons is None
    assert videos["bag"].visible.tolist() == [True, True, False, True, True]


def test_boxes_of_polygons():
    """An upright rectangle keeps its centre and grows by a pixel; a square on its tip shrinks to its own area."""
    boxes = enclosing_boxes(np.array([[10, 20, 40, 20, 40, 60, 10, 60], [0, 10, 10, 0, 20, 10, 10, 20]]))
    side = np.sqrt(200) + 1
    np.testing.assert_allclose(boxes, [[9.5, 19.5, 31, 41], [10 - side / 2, 10 - side / 2, side, side]], rtol=1e-6)


def pysot_entry(name, folder, rows, **more):
    names = [f"{folder}/{i:08d}.jpg" for i in range(1, len(rows) + 1)]
    rows = np.asarray(rows, float).tolist()
    return {name: {"video_dir": folder, "init_rect": rows[0], "img_names": names, "gt_rect": rows, **more}}


def test_pysot_json_of_lasot(tmp_path):
    truth = layouts.write_lasot(tmp_path)
    entry = pysot_entry(
        "airplane-1", "airplane-1/img", truth["airplane-1"], attr=["Fast Motion"], absent=[1, 0, 0, 0, 1, 1, 1, 0]
    )
    layouts.write_text(tmp_path / "LaSOT.json", json.dumps(entry))
    (video,) = lasot.load(str(tmp_path), "test", annotations=str(tmp_path / "LaSOT.json"))
    assert_frames_exist([video])
    assert video.attributes == ("Fast Motion",)
    assert video.visible.tolist() == [True, False, False, False, True, True, True, False]
    np.testing.assert_array_equal(video.boxes, truth["airplane-1"])


def test_pysot_json_of_vot(tmp_path):
    truth = layouts.write_vot(tmp_path)
    corners = layouts.corners_of(truth["bag"])
    entry = pysot_entry("bag", "bag/color", corners, camera_motion=[0, 1], occlusion=[1] * 5)
    layouts.write_text(tmp_path / "VOT2018.json", json.dumps(entry))
    (video,) = vot.load(str(tmp_path), "VOT2018", str(tmp_path / "VOT2018.json"))
    assert_frames_exist([video])
    np.testing.assert_array_equal(video.polygons, corners)
    assert video.frame_tags["camera_motion"].tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not an annotation file of the pysot toolkit"),
        ('{"a": {"img_names": []}}', "not an annotation file of the pysot toolkit"),
        ("[1]", "not an annotation file of the pysot toolkit"),
        ('{"a": ' + "[" * 100_000, "not an annotation file of the pysot toolkit"),
        ("{}", "describes no video"),
        ('{"../a": {"img_names": ["b/1.jpg"], "gt_rect": [[1, 2, 3, 4]]}}', "no name of a video"),
        ('{"a": {"img_names": ["../b/1.jpg"], "gt_rect": [[1, 2, 3, 4]]}}', "leads out of the data set"),
        (
            '{"a": {"img_names": ["b/1.jpg"], "gt_rect": [[1, 2, 3, 4]], "absent": [1, 1]}}',
            "absent: 2 rows for 1 frames",
        ),
        (json.dumps(pysot_entry("a", "a", [[1, 2, 3, 4]] * 2) | {"b": 3}), "not an annotation file"),
    ],
)
def test_broken_pysot_json_is_named(tmp_path, content, said):
    layouts.write_text(tmp_path / "x.json", content)
    with pytest.raises(SpotError, match=rf"x\.json: .*{said}"):
        pysot.load("X", str(tmp_path), str(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("load", "key", "variable"),
    [
        (otb.load, "otb", "OTB_ROOT"),
        (uav.load, "uav", "UAV_ROOT"),
        (nfs.load, "nfs", "NFS_ROOT"),
        (tc128.load, "tc128", "TC128_ROOT"),
        (vot.load, "vot", "VOT_ROOT"),
    ],
)
def test_missing_and_empty_roots_are_named(load, key, variable, tmp_path):
    with pytest.raises(SpotError, match=f"paths.{key} is not set.*{variable}"):
        load(None)
    with pytest.raises(SpotError) as caught:
        load(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("load", "choice"), [(otb.load, "OTB99"), (uav.load, "UAV1"), (nfs.load, 60), (vot.load, "VOT2013")]
)
def test_unknown_versions_are_refused(load, choice, tmp_path):
    with pytest.raises(SpotError, match=str(choice)):
        load(str(tmp_path), choice)


def test_what_a_mac_leaves_behind_is_ignored(tmp_path):
    """Files `._x` beside every file, and `__MACOSX` inside a zip."""
    layouts.write_lasot(tmp_path / "lasot")
    layouts.write_uav(tmp_path / "uav")
    expected = lasot.load(str(tmp_path / "lasot"), "train").names, uav.load(str(tmp_path / "uav")).names
    for file in [f for f in tmp_path.rglob("*") if not f.name.startswith(".")]:
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\26\7")
    assert lasot.load(str(tmp_path / "lasot"), "train").names == expected[0]
    assert uav.load(str(tmp_path / "uav")).names == expected[1]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("__MACOSX/car/._1.jpg", b"")
        archive.writestr("car/1.jpg", b"")
        archive.writestr("car/._1.jpg", b"")
    assert locate(str(tmp_path), "car") == f"{tmp_path}/a.zip!/car"
    assert names_in(f"{tmp_path}/a.zip!/car") == ["1.jpg"]
