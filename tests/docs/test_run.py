"""The blocks of README and docs that are marked to be run, run as they stand in an empty folder."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.docs.pages import Block, run_blocks
from tests.end_to_end.runs import run_words
from tests.paths import ROOT


def shell(text: str, folder: Path, **variables: str) -> str:
    """Output of the commands in `folder`; `python` is this one."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_ROOT") and k != "SPOT_OUTPUTS"}
    python = Path(sys.executable).parent
    environment |= {"PATH": f"{python}:{environment['PATH']}", "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tour_of_the_readme(tmp_path):
    """Its commands one by one, in forks; the next test runs a block in a shell."""
    (tour,) = run_blocks(ROOT / "README.md")
    for python, m, *words in Block("README.md", tour).commands():
        assert (python, m) == ("python", "-m")
        done = run_words(words, tmp_path / "outputs", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs/tour/metrics.csv").is_file()
    assert (tmp_path / "outputs/reports/Synthetic/report.html").is_file()


@pytest.fixture
def examples(videos, tmp_path):
    """The examples beside a data set in their format, as a user outside the checkout would have them."""
    shutil.copytree(ROOT / "docs/examples", tmp_path / "docs/examples", ignore=shutil.ignore_patterns("__pycache__"))
    data = tmp_path / "clips"
    data.mkdir()
    with open(data / "annotations.csv", "w", newline="") as file:
        for video in videos:
            shutil.copytree(video.frames.folder, data / video.name, ignore=shutil.ignore_patterns("*.txt", "*.label"))
            rows = [(video.name, i, *box) for i, box in enumerate(video.boxes.tolist()) if video.visible[i]]
            csv.writer(file).writerows(rows)
    return tmp_path


def test_examples_train_track_and_measure(examples):
    """A data set, an architecture and a measure from outside, by the real commands."""
    (block,) = run_blocks(ROOT / "docs/extending.md")
    said = shell(block, examples, CSV_VIDEOS_ROOT=str(examples / "clips"))
    assert "csv_videos: tracked 6 videos" in said
    assert "% of a video before the target is lost" in said.splitlines()[-1]
    with open(examples / "docs/examples/outputs/outside/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert float(rows[-1]["pseudo/loss"]) > 0


@pytest.mark.parametrize("file", sorted((ROOT / "docs/examples").rglob("*.py")), ids=lambda file: file.name)
def test_example_is_short(file):
    assert len(file.read_text().splitlines()) < 60


def test_example_data_set_reads_boxes_and_absence(examples, videos, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/examples")
    import csv_videos

    from spot.runtime.errors import SpotError

    read = csv_videos.load(str(examples / "clips"))
    assert read.names == videos.names
    seen = np.asarray(videos.visible)
    assert np.array_equal(read.visible, seen)
    assert np.array_equal(read.boxes[seen], videos.boxes[seen])
    with open(examples / "clips/annotations.csv", "a") as file:
        file.write(f"{videos.names[0]},99,1,1,5,5\n")
    with pytest.raises(SpotError, match="frame 99"):
        csv_videos.load(str(examples / "clips"))
    broken: list[str] = []
    assert len(csv_videos.load(str(examples / "clips"), broken)) == len(videos) - 1
    assert len(broken) == 1


@pytest.mark.parametrize(
    ("overlaps", "visible", "share"),
    [
        pytest.param([1, 1, 1, 1, 1, 1], [1] * 6, 1.0, id="never lost"),
        pytest.param([1, 1, 0, 0, 1, 1], [1] * 6, 1.0, id="found again in time"),
        pytest.param([1, 1, 1, 0, 0, 0], [1] * 6, 0.5, id="lost for good half way"),
        pytest.param([1, 0, 0, 0, 1, 1], [1, 0, 1, 1, 1, 1], 1.0, id="a hidden frame does not count"),
        pytest.param([0, 0, 0, 1, 1, 1], [1] * 6, 0.0, id="lost at once"),
    ],
)
def test_example_measure(overlaps, visible, share, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/examples")
    from lost import kept_fraction

    assert kept_fraction(np.array(overlaps, float), np.array(visible, bool), patience=3) == pytest.approx(share)
