"""Finding and reading result files in every layout."""

import os

import numpy as np
import pytest

from spot.evaluation.ground_truth import as_written, truth_of
from spot.results.loading import check_missing, find_files, find_trackers, read_boxes, read_times
from spot.runtime.errors import SpotError
from tests.evaluation.helpers import make_videos, write_tracker


@pytest.fixture
def videos():
    return make_videos()


@pytest.fixture
def truth(videos):
    return truth_of(videos, "Toy")


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


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{0}.txt", id="plain"),
        pytest.param("{0}/{0}_001.txt", id="GOT-10k"),
        pytest.param("baseline/{0}/{0}_001.txt", id="VOT"),
        pytest.param("longterm/{0}/{0}_001.txt", id="VOT-LT"),
        pytest.param("toy_{0}.txt", id="benchmark's name in front"),
        pytest.param("{0}.TXT".replace("TXT", "csv"), id="csv"),
    ],
)
def test_layouts_of_result_files(tmp_path, videos, truth, form):
    plain = write_tracker(tmp_path / "plain", videos)
    for name in videos.names:
        target = tmp_path / "a" / form.format(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (plain / f"{name}.txt").rename(target)
    files = find_files("a", tmp_path / "a", truth)
    assert files.missing == ()
    assert read_boxes(files, truth).shape == truth.boxes.shape


def test_names_match_whatever_their_case_and_punctuation(tmp_path):
    videos = make_videos(("Jogging.1", "nfs_Gymnastics"))
    truth = truth_of(videos, "NFS30")
    (tmp_path / "a").mkdir()
    for name in ("jogging-1", "Gymnastics"):
        (tmp_path / "a" / f"{name}.txt").write_text("")
    files = find_files("a", tmp_path / "a", truth)
    assert {video: paths[0].stem for video, paths in files.boxes.items()} == {
        "Jogging.1": "jogging-1",
        "nfs_Gymnastics": "Gymnastics",
    }


def test_times_are_no_results_and_repetitions_are_kept(tmp_path, videos, truth):
    for name in videos.names:
        folder = tmp_path / "a" / name
        folder.mkdir(parents=True)
        for number in (1, 2):
            (folder / f"{name}_{number:03d}.txt").write_text("0,0,1,1\n")
        (folder / f"{name}_time.txt").write_text("0.5\n0.25\n")
    files = find_files("a", tmp_path / "a", truth)
    assert [p.name for p in files.boxes["one"]] == ["one_001.txt", "one_002.txt"]
    assert read_times(files).tolist() == [0.5, 0.25] * 3


def test_missing_videos_are_named(tmp_path, videos, truth):
    folder = write_tracker(tmp_path / "a", videos)
    (folder / "two.txt").unlink()
    files = find_files("a", folder, truth)
    assert files.missing == ("two",)
    with pytest.raises(SpotError, match="lacks 1 of 3 videos: two; missing=skip evaluates the others"):
        check_missing([files], truth, "stop")
    check_missing([files], truth, "skip")


def test_results_of_another_benchmark_are_recognised(tmp_path, truth):
    write_tracker(tmp_path / "a", make_videos(("alpha", "beta")))
    with pytest.raises(SpotError, match=r"has files such as alpha\.txt, results of another benchmark"):
        find_files("a", tmp_path / "a", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpotError, match="has no result files"):
        find_files("empty", tmp_path / "empty", truth)


@pytest.mark.parametrize("change", [lambda lines: lines[:-1], lambda lines: [*lines, lines[-1]]], ids=["short", "long"])
def test_wrong_row_counts_name_the_file(tmp_path, videos, truth, change):
    folder = write_tracker(tmp_path / "a", videos)
    file = folder / "two.txt"
    file.write_text("\n".join(change(file.read_text().splitlines())))
    with pytest.raises(SpotError, match=r"two.txt: \d+ rows, but video two has 41 frames"):
        read_boxes(find_files("a", folder, truth), truth)


def test_the_one_video_of_lasot_that_all_results_overrun_is_cut(tmp_path):
    videos = make_videos(("monkey-17",))
    truth = truth_of(videos, "LaSOT")
    folder = write_tracker(tmp_path / "a", videos)
    with open(folder / "monkey-17.txt", "a") as file:
        file.write("1,2,3,4\n")
    assert read_boxes(find_files("a", folder, truth), truth).shape == truth.boxes.shape


def test_numbers_are_remembered_until_a_file_changes(tmp_path, videos, truth):
    folder = write_tracker(tmp_path / "a", videos)
    files = find_files("a", folder, truth)
    first = read_boxes(files, truth, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    again = read_boxes(files, truth, tmp_path / "cache")
    np.testing.assert_array_equal(first, again)
    assert again.flags.f_contiguous
    content = (folder / "one.txt").read_text().splitlines()
    (folder / "one.txt").write_text("\n".join(["7,7,7,7", *content[1:]]))
    os.utime(folder / "one.txt", ns=(1, 1))
    assert read_boxes(files, truth, tmp_path / "cache")[0].tolist() == [7, 7, 7, 7]
    assert list((tmp_path / "cache").iterdir()) != [kept]
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("text", ["285.12", "0.1", "1234.56", "7", "-30.5", "99999.5", "0.0001"])
def test_truth_is_as_it_was_written(text):
    """float32 holds annotations; a prediction that repeats their text must have distance 0."""
    stored = np.array([[float(text), 0, 1, np.nan]], np.float32)
    assert as_written(stored)[0, 0] == float(text)
    assert np.isnan(as_written(stored)[0, 3])
