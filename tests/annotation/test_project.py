"""Which videos dense boxes are made for, and which run learns from new labels."""

import os

import pytest
from omegaconf import OmegaConf

from spot.annotation.project import open_project
from spot.data.box_table import BoxTable
from spot.label import label
from tests.annotation.clips import true_box, write_clips
from tests.training.configs import composed


@pytest.fixture
def place(tmp_path):
    write_clips(tmp_path / "clips", 6)
    BoxTable.from_rows([("first", 1, 2, true_box(2, 0))]).write_csv(tmp_path / "labels" / "clips.csv")
    places = [f"paths.{key}={tmp_path / key}" for key in ("labels", "frames")]
    trained = composed("train", "data=videos", f"paths.videos={tmp_path / 'clips'}", *places)
    record = {"data": OmegaConf.to_container(trained.data, resolve=True), "labels": 3, "seed": 0}
    OmegaConf.save(record, tmp_path / "config.yaml")
    return tmp_path


@pytest.mark.parametrize("place_of_results", ["paths.outputs", "paths.results", "paths.reports", "paths.cache"])
def test_a_run_has_its_own_videos_wherever_the_results_go(place, place_of_results):
    option = f"{place_of_results}={place / 'elsewhere'}"
    videos, labels = open_project(composed("annotate", option), place, [option])
    assert videos.names == ["first", "second"]
    assert labels.frame.tolist() == [2]


def test_videos_that_are_named_take_the_place_of_those_of_the_run(place):
    write_clips(place / "others", 4)
    options = [f"paths.videos={place / 'others'}", f"paths.labels={place / 'labels'}", f"paths.frames={place / 'f2'}"]
    BoxTable.from_rows([("second", 1, 1, true_box(1, 0))]).write_csv(place / "labels" / "others.csv")
    _, labels = open_project(composed("annotate", *options), place, options)
    assert labels.video.tolist() == ["second"]


def test_new_labels_are_for_the_newest_run_on_these_videos(tmp_path, capsys):
    write_clips(tmp_path / "clips", 6)
    boxes = tmp_path / "boxes.csv"
    BoxTable.from_rows([("first", 1, 2, true_box(2, 0))]).write_csv(boxes)
    options = [f"paths.videos={tmp_path / 'clips'}", f"paths.outputs={tmp_path}", f"import={boxes}"]

    def following():
        label(composed("label", *options))
        return capsys.readouterr().out.splitlines()[-1].partition("next: python -m spot.train ")[2]

    assert following() == f"experiment=own_videos paths.videos={tmp_path / 'clips'} run=mine"
    for age, (run, videos) in enumerate(
        {"other": tmp_path, "new": tmp_path / "clips", "old": tmp_path / "clips"}.items()
    ):
        file = tmp_path / run / "config.yaml"
        file.parent.mkdir()
        OmegaConf.save({"data": {"train": [{"root": str(videos)}]}}, file)
        os.utime(file, (1000 - age, 1000 - age))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.yaml").write_text("data: [")
    assert following() == "run=new"
