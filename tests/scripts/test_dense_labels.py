"""The study of dense labels on tiny videos: rows, resume, suggestions."""

import csv

import pytest

from tests.data import layouts


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
    words = ["--no-baselines", "--run", str(tmp_path / "tiny.safetensors"), "--arch", "ocean_tiny", "--k", "2"]
    return lambda *more: dense_labels.main([*words, *more])


def rows(folder):
    with open(folder / "out" / "rows.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_computed_once_and_suggestions_add_labels(study, tmp_path, capsys):
    study()
    first = rows(tmp_path)
    settings = {row["setting"] for row in first}
    assert settings == {"val/interpolation", *(f"val/tiny/{rule}" for rule in ("nearer_and_surer", "joined", "oracle"))}
    assert {row["video"] for row in first} == {"a", "b"}
    assert all(0 <= float(row["score"]) <= 1 for row in first)
    study()
    assert rows(tmp_path) == first
    study("--suggest")
    more = {row["setting"] for row in rows(tmp_path)} - settings
    assert more == {"val/tiny/suggested from 2, 2.5 boxes a video", "val/tiny/suggested from 2, 3.0 boxes a video"}
    assert "val/tiny/joined" in capsys.readouterr().out
