"""Zips for the evaluation servers."""

import zipfile

import numpy as np
import pytest

from spot.results.server_zips import pack
from spot.runtime.errors import SpotError
from tests.evaluation.helpers import make_videos, write_tracker


def lengths_of(videos):
    return dict(zip(videos.names, videos.lengths.tolist(), strict=True))


@pytest.fixture
def videos():
    """A test set: only the first box of each video is known."""
    videos = make_videos(("GOT-10k_Test_000001", "GOT-10k_Test_000002"))
    for start, stop in zip(videos.offsets[:-1], videos.offsets[1:], strict=True):
        videos.boxes[start + 1 : stop] = np.nan
    return videos


@pytest.fixture
def results(tmp_path, videos):
    """Results in the GOT-10k layout."""
    plain = write_tracker(tmp_path / "plain", videos, form="{:.3e}\t{:.2f}\t{:.2f}\t{:.2f}\t0.9")
    for video in videos:
        folder = tmp_path / "results/a" / video.name
        folder.mkdir(parents=True)
        (plain / f"{video.name}.txt").rename(folder / f"{video.name}_001.txt")
        (folder / f"{video.name}_time.txt").write_text("0.05\n" * len(video))
    return tmp_path / "results"


def test_got10k_zip(tmp_path, videos, results, capsys):
    (archive,) = pack(lengths_of(videos), results, None, tmp_path / "out", "GOT-10k_test")
    assert archive.name == "GOT-10k_test_a.zip"
    assert str(archive) in capsys.readouterr().out
    with zipfile.ZipFile(archive) as file:
        assert sorted(file.namelist()) == sorted(
            f"{name}/{name}_{kind}.txt" for name in videos.names for kind in ("001", "time")
        )
        rows = file.read(f"{videos.names[1]}/{videos.names[1]}_001.txt").decode().splitlines()
    assert len(rows) == 41
    assert all(len(row.split(",")) == 4 for row in rows)  # whatever form the results had


def test_the_same_results_give_the_same_zip(tmp_path, videos, results):
    first, second = (
        pack(lengths_of(videos), results, None, tmp_path / place, "GOT-10k_test")[0] for place in ("x", "y")
    )
    assert first.read_bytes() == second.read_bytes()


def test_trackingnet_zip(tmp_path):
    videos = make_videos(("0-6LB4FqxoE_0", "0-6LB4FqxoE_1"))
    write_tracker(tmp_path / "results/TrackingNet/a", videos)
    (archive,) = pack(lengths_of(videos), tmp_path / "results", ["a"], tmp_path / "out", "TrackingNet")
    with zipfile.ZipFile(archive) as file:
        assert sorted(file.namelist()) == ["0-6LB4FqxoE_0.txt", "0-6LB4FqxoE_1.txt"]


def spoil(results, name, text=None):
    file = next(results.rglob(name))
    if text is None:
        file.unlink()
    else:
        file.write_text(text(file.read_text().splitlines()))


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("GOT-10k_Test_000002_001.txt", None, "lacks 1 of 2 videos: GOT-10k_Test_000002; the server needs"),
        ("GOT-10k_Test_000002_001.txt", lambda rows: "\n".join(rows[:-1]), "000002_001.txt: 40 rows, but video"),
        (
            "GOT-10k_Test_000002_001.txt",
            lambda rows: "\n".join([*rows[:-1], "nan,1,2,3"]),
            "000002_001.txt, line 41: a box is not finite",
        ),
        (
            "GOT-10k_Test_000001_001.txt",
            lambda rows: "\n".join([*rows[:-1], "1,2,-3,4"]),
            "000001_001.txt, line 40: a box has a negative size",
        ),
        ("GOT-10k_Test_000001_time.txt", None, "GOT-10k_Test_000001_time.txt is missing"),
        ("GOT-10k_Test_000001_time.txt", lambda rows: "\n".join(rows[1:]), "000001_time.txt: 39 rows"),
        (
            "GOT-10k_Test_000001_time.txt",
            lambda rows: "\n".join([*rows[:-1], "nan"]),
            "000001_time.txt, line 40: nan is not a time",
        ),
    ],
    ids=["no video", "rows", "NaN", "negative size", "no times", "rows of times", "NaN time"],
)
def test_what_the_server_would_refuse_is_named_and_no_zip_written(tmp_path, videos, results, name, text, complaint):
    spoil(results, name, text)
    with pytest.raises(SpotError, match=complaint):
        pack(lengths_of(videos), results, None, tmp_path / "out", "GOT-10k_test")
    assert not (tmp_path / "out").exists()


def test_benchmarks_without_a_server(tmp_path, videos, results):
    with pytest.raises(SpotError, match="pack=true: LaSOT has no evaluation server"):
        pack(lengths_of(videos), results, None, tmp_path, "LaSOT")
