"""Finding result files: every layout in use, exact names first, and never one file for two videos."""

import re
import unicodedata

import pytest

from spot.results.searching import check_missing, find_files, find_trackers
from spot.runtime.errors import SpotError
from tests.evaluation.helpers import make_videos, write_tracker

NAMES = ("one", "two", "three")


@pytest.fixture
def videos():
    return make_videos()


def make(folder, *files):
    """Result files with one row each."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("0,0,1,1\n")
    return folder


def found(folder, names, benchmark="Toy", tracker="a"):
    """Video to the names of its files."""
    files = find_files(tracker, folder, names, benchmark)
    return {video: [str(path.relative_to(folder)) for path in paths] for video, paths in files.boxes.items()}


@pytest.mark.parametrize(
    "place", ["Toy/a", "toy/a", "a"], ids=["benchmark folder", "other case", "no benchmark folder"]
)
def test_tracker_folders_are_found(tmp_path, videos, place):
    write_tracker(tmp_path / place, videos)
    assert find_trackers(tmp_path, "Toy", ["a"]) == {"a": tmp_path / place}
    assert list(find_trackers(tmp_path, "Toy", None)) == ["a"]
    assert list(find_trackers(tmp_path, "Toy", ["A"])) == ["a"]


def test_the_folder_itself_may_be_given(tmp_path, videos):
    write_tracker(tmp_path / "Toy" / "a", videos)
    assert list(find_trackers(tmp_path / "Toy", "Toy", ["a"])) == ["a"]
    assert list(find_trackers(tmp_path / "Toy" / "a", "Toy", ["a"])) == ["a"]


def test_patterns_choose_an_epoch_range(tmp_path, videos):
    for name in ("run_e010", "run_e020", "other"):
        write_tracker(tmp_path / "Toy" / name, videos)
    assert list(find_trackers(tmp_path, "Toy", ["run_e*"])) == ["run_e010", "run_e020"]


def test_a_folder_that_only_begins_like_the_benchmark_serves_as_its_own(tmp_path, videos):
    """`GOT-10k/` holds results for `GOT-10k_val` where there is no folder of that name."""
    write_tracker(tmp_path / "GOT-10k" / "a", videos)
    assert list(find_trackers(tmp_path, "GOT-10k_val", None)) == ["a"]


def test_unknown_trackers_are_named_with_those_that_are_there(tmp_path, videos):
    write_tracker(tmp_path / "Toy" / "a", videos)
    with pytest.raises(SpotError, match=r"no results of tracker b for Toy in .*; there are: a$"):
        find_trackers(tmp_path, "Toy", ["b"])
    with pytest.raises(SpotError, match="is not a folder"):
        find_trackers(tmp_path / "nowhere", "Toy", None)


@pytest.mark.parametrize("litter", ["__MACOSX/._one.txt", ".ipynb_checkpoints/one.txt", "empty/", "half/._one.txt"])
def test_litter_is_no_tracker(tmp_path, videos, litter):
    write_tracker(tmp_path / "Toy" / "a", videos)
    place = tmp_path / "Toy" / litter
    place.parent.mkdir(exist_ok=True)
    place.mkdir() if litter.endswith("/") else place.write_bytes(b"\0\5\x16\7Mac OS X")
    assert list(find_trackers(tmp_path, "Toy", None)) == ["a"]


@pytest.mark.parametrize("litter", ["._one.txt", "__MACOSX/._one.txt", ".ipynb_checkpoints/one.txt"])
def test_litter_is_no_result(tmp_path, litter):
    make(tmp_path, "one.txt", litter)
    assert found(tmp_path, ["one"]) == {"one": ["one.txt"]}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{0}.txt", id="plain"),
        pytest.param("{0}/{0}_001.txt", id="GOT-10k"),
        pytest.param("baseline/{0}/{0}_001.txt", id="VOT"),
        pytest.param("toy_{0}.txt", id="benchmark's name in front"),
        pytest.param("a_{0}.txt", id="tracker's name in front"),
        pytest.param("{0}.csv", id="csv"),
        pytest.param("default_000/{0}.txt", id="pytracking"),
    ],
)
def test_layouts_of_result_files(tmp_path, form):
    make(tmp_path, *(form.format(name) for name in NAMES))
    assert found(tmp_path, NAMES) == {name: [form.format(name)] for name in NAMES}


@pytest.mark.parametrize(
    ("benchmark", "file", "video"),
    [
        ("NFS30", "nfs_Gymnastics.txt", "Gymnastics"),
        ("NFS30", "Gymnastics.txt", "nfs_Gymnastics"),
        ("UAV123", "uav_bike1.txt", "bike1"),
        ("TC128", "tpl_Skating.txt", "Skating"),
        ("OTB100", "jogging-1.txt", "Jogging.1"),
        ("OTB100", "human4-2.txt", "Human4_2"),
    ],
)
def test_other_spellings_count_where_they_are_unambiguous(tmp_path, benchmark, file, video):
    make(tmp_path, file)
    assert found(tmp_path, [video, "other"], benchmark) == {video: [file]}


UAV = ["car1_1", "car11", "car1_2", "car12", "person2_1", "person21"]


def test_uav123_has_pairs_that_differ_by_an_underscore_alone(tmp_path):
    make(tmp_path, *(f"{name}.txt" for name in UAV))
    assert found(tmp_path, UAV, "UAV123") == {name: [f"{name}.txt"] for name in UAV}


def test_a_video_never_takes_the_file_of_another(tmp_path):
    make(tmp_path, "car11.txt", "Girl.txt", "日本.txt")
    assert set(found(tmp_path, ["car1_1", "car11", "girl", "Girl", "中国", "日本"])) == {"car11", "Girl", "日本"}


def test_doubtful_files_are_named_with_the_remedy(tmp_path):
    make(tmp_path, "car-11.txt", "other.txt")
    files = find_files("a", tmp_path, ["car1_1", "car11", "other"], "UAV123")
    assert files.missing == ("car1_1", "car11")
    with pytest.raises(SpotError, match=r"car1_1 may be car-11: give the file the video's exact name"):
        check_missing(files, "stop")


def test_accents_are_written_in_two_ways(tmp_path):
    make(tmp_path, f"{unicodedata.normalize('NFD', 'café')}.txt", "cafe.txt")
    names = [unicodedata.normalize("NFC", "café"), "cafe"]
    assert [len(files) for files in found(tmp_path, names).values()] == [1, 1]


@pytest.mark.parametrize("name", ["half_time", "my_confidence", "a_one", "x_001"])
def test_names_that_look_like_something_else(tmp_path, name):
    make(tmp_path, f"{name}.txt", f"{name}_time.txt", "plain.txt")
    files = find_files("a", tmp_path, [name, "plain"], "Toy")
    assert files.boxes[name] == (tmp_path / f"{name}.txt",)
    assert files.times == {name: tmp_path / f"{name}_time.txt"}


def test_a_time_file_in_a_video_s_folder_is_its_own(tmp_path):
    make(tmp_path, "half/half_001.txt", "half/half_time.txt", "half_time/half_time_001.txt")
    files = find_files("a", tmp_path, ["half", "half_time"], "Toy")
    assert [path.name for paths in files.boxes.values() for path in paths] == ["half_001.txt", "half_time_001.txt"]
    assert set(files.times) == {"half"}


def test_names_that_differ_by_an_underscore_are_found_behind_a_prefix(tmp_path):
    names = ["person21", "person2_1"]
    make(tmp_path, *(f"uav_{name}.txt" for name in names))
    assert found(tmp_path, names, "UAV123") == {name: [f"uav_{name}.txt"] for name in names}


def test_the_one_target_without_a_number_is_found(tmp_path):
    make(tmp_path, "Jogging.1.txt", "Jogging.2.txt", "Human4.txt")
    names = ["Jogging-1", "Jogging-2", "Human4-2"]
    assert [name for (name,) in found(tmp_path, names, "OTB100").values()] == [
        "Jogging.1.txt",
        "Jogging.2.txt",
        "Human4.txt",
    ]


def test_confidences_lie_beside_the_boxes(tmp_path):
    make(tmp_path, "one.txt", "one_confidence.value", "two/two_001.txt", "two/two_001_confidence.value")
    files = find_files("a", tmp_path, ["one", "two"], "Toy")
    assert {v: p.name for v, p in files.confidences.items()} == {
        "one": "one_confidence.value",
        "two": "two_001_confidence.value",
    }


@pytest.mark.parametrize(
    "form",
    ["one/one_{:03d}.txt", "default_{:03d}/one.txt", "default_{:03d}/toy/one.txt"],
    ids=["GOT-10k", "pytracking", "STARK"],
)
def test_repetitions_are_kept(tmp_path, form):
    make(tmp_path, *(form.format(i) for i in (1, 2, 3)))
    assert found(tmp_path, ["one"]) == {"one": [form.format(i) for i in (1, 2, 3)]}


@pytest.mark.parametrize(
    "files", [("one.txt", "old/one.txt"), ("one.txt", "one_001.txt"), ("dimp50/one.txt", "dimp50_000/one.txt")]
)
def test_two_files_that_are_no_repetitions_are_named(tmp_path, files):
    make(tmp_path, *files)
    with pytest.raises(SpotError, match=r"two results of video one that are not repetitions; remove one"):
        find_files("a", tmp_path, ["one"], "Toy")


def test_missing_videos_are_named(tmp_path):
    files = find_files("a", make(tmp_path, "one.txt", "three.txt"), NAMES, "Toy")
    assert files.missing == ("two",)
    with pytest.raises(SpotError, match="lacks 1 of 3 videos: two; missing=skip evaluates the others"):
        check_missing(files, "stop")
    check_missing(files, "skip")


def test_results_of_another_benchmark_are_recognised(tmp_path):
    with pytest.raises(SpotError, match=r"has files such as alpha\.txt, perhaps of another benchmark"):
        find_files("a", make(tmp_path / "a", "alpha.txt"), NAMES, "Toy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpotError, match=re.escape("has no result files")):
        find_files("empty", tmp_path / "empty", NAMES, "Toy")
