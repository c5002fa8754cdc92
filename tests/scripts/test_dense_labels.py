"""The study of dense labels on tiny videos: rows, resume, suggestions."""

import json

import pytest

from tests.data import layouts
from tests.paths import ROOT


@pytest.fixture
def study(tmp_path, monkeypatch):
    import dense_labels
    from hydra.utils import instantiate

    from spot.architectures.start_weights import write_start
    from tests.training.configs import composed

    layouts.write_folder(tmp_path / "shared" / "data" / "real" / "val", ("a", "b"), 16)
    networks = [instantiate(composed("train", "arch=ocean_tiny", "data=synthetic").arch.network) for _ in range(2)]
    write_start(tmp_path / "tiny.safetensors", *networks, "ocean_tiny", "nothing")
    monkeypatch.setattr(dense_labels, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(dense_labels, "OUTPUTS", tmp_path / "out")
    monkeypatch.setattr(dense_labels, "ROWS", tmp_path / "out" / "rows.json")
    words = ["--no-baselines", "--run", str(tmp_path / "tiny.safetensors"), "--arch", "ocean_tiny", "--k", "2"]
    return lambda *more: dense_labels.main([*words, *more])


def rows(folder):
    return json.loads((folder / "out" / "rows.json").read_text())


def test_rows_are_computed_once_and_suggestions_add_labels(study, tmp_path, capsys):
    study()
    first = rows(tmp_path)
    settings = {row["setting"] for row in first}
    assert settings == {
        "val/interpolation",
        "val/tiny",
        *(f"val/tiny_{rule}" for rule in ("nearer", "averaged", "one_direction", "oracle")),
    }
    assert {row["video"] for row in first} == {"a", "b"}
    assert all(0 <= row["score"] <= 1 for row in first)
    assert "tiny against interpolation: mean IoU" in capsys.readouterr().out
    study()
    assert rows(tmp_path) == first
    study("--suggest")
    more = {row["setting"] for row in rows(tmp_path)} - settings
    assert more == {"val/tiny/suggested from 2, 2.5 boxes a video", "val/tiny/suggested from 2, 3.0 boxes a video"}
    assert "lowest 10 % hold" in capsys.readouterr().out


def test_the_page_has_what_the_rows_say():
    import dense_labels
    import dense_report

    found = json.loads(dense_labels.ROWS.read_text())
    page = (ROOT / "docs" / "own_videos.md").read_text()
    assert dense_report.table(found) in page
    assert dense_report.comparisons(found) in page
    assert dense_report.summary(found) in (ROOT / "README.md").read_text()
