"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from spot.runtime.atomic_files import remove_partial, replacing, whole_folder
from spot.runtime.errors import SpotError


@pytest.fixture
def target(tmp_path: Path) -> Path:
    file = tmp_path / "new folder" / "file.txt"
    with replacing(file) as aside:
        aside.write_text("old")
        assert not file.exists()
    assert file.read_text() == "old"
    return file


def write(target: Path, failure: BaseException) -> None:
    with replacing(target, "do this") as aside:
        aside.write_text("half")
        raise failure


@pytest.mark.parametrize(
    ("failure", "raised", "said"),
    [
        pytest.param(KeyboardInterrupt(), KeyboardInterrupt, None, id="interrupted"),
        pytest.param(
            OSError(28, "No space left"), SpotError, r"file\.txt: cannot .*No space.*; do this", id="full disk"
        ),
    ],
)
def test_what_ends_half_way_leaves_the_old_file_alone(target: Path, failure, raised, said) -> None:
    with pytest.raises(raised, match=said):
        write(target, failure)
    assert [p.read_text() for p in target.parent.iterdir()] == ["old"]


def test_the_disk_has_it_before_it_takes_its_name(target: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("os.fsync", lambda file: seen.append((os.fstat(file).st_size, target.read_text())))
    with replacing(target) as aside:
        aside.write_text("newer")
    assert seen[0] == (len("newer"), "old")
    assert [content for _, content in seen] == ["old", "newer"], "the folder is flushed after the renaming"
    assert target.read_text() == "newer"


def test_of_several_writers_the_last_one_stays(target: Path) -> None:
    with replacing(target) as first:
        first.write_text("first, late")
        with replacing(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert [p.read_text() for p in target.parent.iterdir()] == ["first, late"]


def test_a_file_in_the_place_of_a_folder_is_named(target: Path) -> None:
    with pytest.raises(SpotError, match=r"file\.txt/below: cannot be written"), replacing(target / "below"):
        pass


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fill(error: Exception | None) -> None:
        with whole_folder(tmp_path / "new") as partial:
            (partial / "a").write_text("1")
            if error:
                raise error

    with pytest.raises(OSError, match="full"):
        fill(OSError("full"))
    assert not list(tmp_path.iterdir())
    fill(None)
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["a"]
    with pytest.raises(OSError, match="not empty"):
        fill(None)
    assert [f.name for f in tmp_path.iterdir()] == ["new"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("last.ckpt", ".hidden", "last.partial", ".last.ckpt.0123abcd.partial"):
        (tmp_path / name).write_text("")
    (tmp_path / ".state.0123abcd.partial").mkdir()
    (tmp_path / ".state.0123abcd.partial" / "file").write_text("")
    remove_partial(tmp_path, tmp_path / "not there")
    assert {file.name for file in tmp_path.iterdir()} == {"last.ckpt", ".hidden"}
