"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from spot.runtime.atomic_files import replacing
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
    assert seen == [(len("newer"), "old")]
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
