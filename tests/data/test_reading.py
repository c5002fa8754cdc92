"""The annotation cache: what is read from it equals what was parsed, and nothing stale is."""

import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spot.data import folders, reading
from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, parse_table
from spot.data.datasets import folder, lasot
from spot.data.images import read_bytes
from spot.data.video import Frames
from spot.runtime.errors import SpotError
from tests.data import layouts


def contents(videos):
    return [(v.name, v.frames.path(0), v.boxes.tolist(), v.visible.tolist()) for v in videos]


def rewrite(path: Path, text: str) -> None:
    """Change a file and its time, as a second write within the clock's resolution would not."""
    layouts.write_text(path, text)
    os.utime(path, ns=(1, 1))


def test_cache_gives_what_was_parsed(tmp_path):
    layouts.write_folder(tmp_path / "set")
    fresh = folder.load(str(tmp_path / "set"))
    cache = str(tmp_path / "cache")
    first, second = (folder.load(str(tmp_path / "set"), cache=cache) for _ in range(2))
    assert contents(fresh) == contents(first) == contents(second)
    assert second.store is not None
    assert not second.boxes.flags.writeable


def test_warm_opening_parses_nothing(tmp_path, monkeypatch):
    layouts.write_folder(tmp_path / "set")
    cache = str(tmp_path / "cache")
    folder.load(str(tmp_path / "set"), cache=cache)
    monkeypatch.setattr(reading, "_attempt", None)
    assert len(folder.load(str(tmp_path / "set"), cache=cache)) == 2


def test_a_file_of_equal_size_and_time_is_read_again(tmp_path):
    layouts.write_folder(tmp_path / "set", ("a",), frames=2)
    file = tmp_path / "set/a/groundtruth.txt"
    rewrite(file, "1,1,5,5\n1,1,5,5\n")
    cache = str(tmp_path / "cache")
    folder.load(str(tmp_path / "set"), cache=cache)
    rewrite(file, "2,2,5,5\n2,2,5,5\n")
    assert folder.load(str(tmp_path / "set"), cache=cache).boxes[:, 0].tolist() == [2, 2]


def test_content_is_compared_where_the_file_system_has_no_time_of_the_status(tmp_path, monkeypatch):
    file = tmp_path / "groundtruth.txt"
    layouts.write_text(file, "1,1,5,5\n")
    found = os.stat(file)
    frozen = SimpleNamespace(
        st_size=found.st_size, st_mode=found.st_mode, st_mtime_ns=1, st_ctime_ns=1, st_ino=found.st_ino
    )
    monkeypatch.setattr(folders.os, "stat", lambda _: frozen)
    before = folders.stamp(str(file))
    assert folders.stamp(str(file)) == before
    with file.open("r+") as opened:
        opened.write("2,2,5,5\n")
    assert folders.stamp(str(file)) != before


def test_only_changed_files_are_read_again(tmp_path, monkeypatch):
    layouts.write_folder(tmp_path / "set", ("a", "b", "c"))
    cache = str(tmp_path / "cache")
    folder.load(str(tmp_path / "set"), cache=cache)
    rewrite(tmp_path / "set" / "b" / "groundtruth.txt", "9,9,9,9\n" * 6)
    seen = []
    original = reading._attempt
    monkeypatch.setattr(reading, "_attempt", lambda r, s: seen.append(s.name) or original(r, s))
    videos = folder.load(str(tmp_path / "set"), cache=cache)
    assert seen == ["b"]
    assert contents(videos) == contents(folder.load(str(tmp_path / "set")))
    assert len(list((tmp_path / "cache").glob("*/*"))) == 1, "the old entry is gone"


@pytest.mark.parametrize("change", ["a label appears", "a video appears", "a frame appears", "the list changes"])
def test_whatever_changes_is_noticed(tmp_path, change):
    layouts.write_folder(tmp_path / "set")
    (tmp_path / "set" / "a" / "cover.label").unlink()
    cache = str(tmp_path / "cache")
    before = contents(folder.load(str(tmp_path / "set"), cache=cache))
    if change == "a label appears":
        layouts.write_text(tmp_path / "set" / "a" / "cover.label", "0\n" * 6)
    elif change == "a video appears":
        layouts.write_folder(tmp_path / "set", ("c",), lists=False)
        rewrite(tmp_path / "set" / "list.txt", "a\nb\nc\n")
    elif change == "a frame appears":
        layouts.write_frames(tmp_path / "set" / "a", 7)
        for file, row in (("groundtruth.txt", "1,2,3,4\n"), ("absence.label", "0\n")):
            rewrite(tmp_path / "set" / "a" / file, row * 7)
    else:
        rewrite(tmp_path / "set" / "list.txt", "a\nb\n")
    after = contents(folder.load(str(tmp_path / "set"), cache=cache))
    assert after != before
    assert after == contents(folder.load(str(tmp_path / "set")))


def test_two_lists_of_one_name_are_two_sets(tmp_path):
    layouts.write_lasot(tmp_path / "data")
    for where, name in (("x", "bird-2"), ("y", "airplane-10")):
        layouts.write_text(tmp_path / where / "few.txt", name)
    names = [
        lasot.load(str(tmp_path / "data"), str(tmp_path / w / "few.txt"), cache=str(tmp_path / "cache")).names
        for w in ("x", "y", "x")
    ]
    assert names == [["LaSOT_bird-2"], ["LaSOT_airplane-10"], ["LaSOT_bird-2"]]


def test_damaged_cache_is_made_anew(tmp_path):
    layouts.write_folder(tmp_path / "set")
    cache = tmp_path / "cache"
    expected = contents(folder.load(str(tmp_path / "set"), cache=str(cache)))
    for damage in ("index.json", "boxes.npy"):
        (file,) = cache.glob(f"*/*/{damage}")
        file.write_bytes(file.read_bytes()[:20])
        assert contents(folder.load(str(tmp_path / "set"), cache=str(cache))) == expected
        (entry,) = cache.glob("*/*")
        assert {f.name for f in entry.iterdir()} == {"index.json", "boxes.npy", "visible.npy"}


def test_cache_that_cannot_be_written_is_named(tmp_path):
    layouts.write_folder(tmp_path / "set")
    (tmp_path / "file").write_text("")
    with pytest.raises(SpotError, match=r"set paths\.cache"):
        folder.load(str(tmp_path / "set"), cache=str(tmp_path / "file"))


def test_pickle_carries_no_rows(tmp_path):
    """What a loader's worker gets is a name, not 16 bytes a frame."""
    layouts.write_folder(tmp_path / "set", ("a",), 500)
    videos = folder.load(str(tmp_path / "set"), cache=str(tmp_path / "cache"))
    pickled = pickle.dumps(videos)
    assert len(pickled) < 2000
    assert contents(pickle.loads(pickled)) == contents(videos)
    loose = folder.load(str(tmp_path / "set"))
    assert contents(pickle.loads(pickle.dumps(loose))) == contents(videos)


def read_rows(source: Source) -> Annotation:
    boxes = parse_table(read_bytes(source.files[0]), source.files[0], 4).astype(np.float32)
    return Annotation(boxes, drawable(boxes))


def test_parallel_reading_keeps_the_order_and_names_what_is_broken(tmp_path):
    sources = []
    for i in range(reading.PARALLEL_FROM + 40):
        file = tmp_path / f"{i}.txt"
        file.write_text(f"{i},1,2,3\n" * (1 + i % 3) if i != 7 else "x")
        sources.append(Source(f"v{i}", Frames(str(tmp_path), 0), (str(file),)))
    broken: list[str] = []
    videos = reading.read_videos("Set", "", "", lambda: (sources, []), read_rows, broken=broken)
    assert [int(v.boxes[0, 0]) for v in videos] == [i for i in range(len(sources)) if i != 7]
    assert videos.lengths.tolist() == [1 + i % 3 for i in range(len(sources)) if i != 7]
    assert len(broken) == 1
    assert "7.txt" in broken[0]
