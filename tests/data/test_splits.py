"""List files and names of splits."""

import pytest

from spot.data.splits import choose, format_sets, list_file, parse_sets, read_list, refuse_overlap, split_name
from spot.runtime.errors import SpotError
from tests.paths import SHARED, requires_shared


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a\nb c\n", "the usual form"),
        (b"a\r\nb c\r\n\r\n", "Windows line ends and a blank line"),
        (b"\xef\xbb\xbf a \nb c", "a byte order mark, spaces, no end"),
    ],
)
def test_lists_are_read(tmp_path, content, why):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_list(str(tmp_path / "list.txt")) == ["a", "b c"], why


@pytest.mark.parametrize(
    ("content", "said"), [(b"\n\n", "empty"), (b"a\nb\na\n", "a is listed twice"), (b"\xff\xfe\x00", "UTF-8")]
)
def test_broken_lists_are_named(tmp_path, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(SpotError, match=f"list.txt: .*{said}"):
        read_list(str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("split", "file"),
    [
        ("train", "got10k_train_split.txt"),
        ("vottrain", "got10k_vot_train_split.txt"),
        ("all", "got10k_all.txt"),
        ("mine", "mine.txt"),
    ],
)
def test_names_find_the_list_files_of_the_field(tmp_path, split, file):
    (tmp_path / file).write_text("0")
    assert list_file(split, "got10k", str(tmp_path)) == str(tmp_path / file)


def test_missing_lists_say_what_to_get(tmp_path):
    with pytest.raises(SpotError, match=r"lasot_train_split\.txt.*set paths\.splits or SPLITS_ROOT"):
        list_file("train", "lasot", None)
    with pytest.raises(SpotError, match=rf"lasot_train_split\.txt.*paths\.splits \({tmp_path}\)"):
        list_file("train", "lasot", str(tmp_path))
    with pytest.raises(SpotError, match="no such list file"):
        list_file("some/where.txt", "lasot", None)


def test_names_or_indices(tmp_path):
    (tmp_path / "names.txt").write_text("b\na")
    (tmp_path / "indices.txt").write_text("2\n0")
    assert choose(str(tmp_path / "names.txt"), lambda: pytest.fail("names need no listing")) == ["b", "a"]
    assert choose(str(tmp_path / "indices.txt"), lambda: ["a", "b", "c"]) == ["c", "a"]


def test_overlap_is_refused():
    refuse_overlap(["a"], ["b"], "the test set")
    with pytest.raises(SpotError, match="b and 1 more videos of the split belong to the test set"):
        refuse_overlap(["a", "b", "c"], ["c", "b"], "the test set")


@pytest.mark.parametrize(
    ("text", "numbers", "written"),
    [("0-3", [0, 1, 2, 3], "0-3"), ("5", [5], "5"), ("4,0, 2", [0, 2, 4], "0,2,4"), ("0-1,2,1", [0, 1, 2], "0-2")],
)
def test_numbers_of_sets(text, numbers, written):
    assert parse_sets(text) == numbers
    assert format_sets(numbers) == written


def test_split_name():
    assert (split_name("vottrain"), split_name("/x/my.list.txt")) == ("vottrain", "my.list")


@requires_shared
@pytest.mark.parametrize(
    ("split", "count"), [("vottrain", 7086), ("votval", 1249), ("all", 9335), ("train", 7934), ("val", 1401)]
)
def test_lists_of_the_field(split, count):
    names = [f"GOT-10k_Train_{i:06d}" for i in range(1, 9336)]
    chosen = choose(list_file(split, "got10k", str(SHARED / "data" / "splits")), lambda: names)
    assert len(chosen) == count
    if split == "vottrain":  # the published list is off by one, and kept
        excluded = set(read_list(str(SHARED / "data" / "splits" / "got10k_vot_exclude.txt")))
        assert len(excluded.intersection(chosen)) == 765
        assert not excluded.intersection(names[names.index(name) - 1] for name in chosen if name != names[0])
