"""The study on held-out real video: its plan, and that the pages say what the raw figures say."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from spot.data.datasets.folder import load
from spot.state.sampler_state import TargetState
from tests.paths import ROOT


@pytest.fixture
def held_out():
    import held_out

    return held_out


@pytest.fixture
def calibration():
    import calibration

    return calibration


def test_pages_say_what_the_figures_say(held_out):
    import held_out_report
    from peers import PEERS
    from study_tables import read_rows

    rows = read_rows(held_out.ROWS)
    assert {row["setting"] for row in rows} <= {*held_out.SETTINGS, *PEERS}
    assert held_out_report.tables(rows) in (ROOT / "docs" / "study.md").read_text()
    assert held_out_report.summary(rows) in (ROOT / "README.md").read_text()


def test_runs_of_a_start_differ_in_supervision_alone(held_out):
    options = argparse.Namespace(split="test", seeds=[0, 1], settings=["full", "spot", "key_frames_only"], k=[3, 5])
    for start in held_out.NETWORKS:
        jobs = held_out.jobs(start, options)
        assert [(job.setting, job.k) for job in jobs if job.seed == 0] == [
            ("full", None), ("spot", 3), ("spot", 5), ("key_frames_only", 3), ("key_frames_only", 5),
        ]  # fmt: skip
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            made = [compose("train", list(job.train)) for job in jobs if job.seed == 0]
        assert len({(cfg.training.epochs, cfg.training.steps, cfg.initial, cfg.arch.recipe.lr) for cfg in made}) == 1
        assert {cfg.supervision.name for cfg in made} == {"full", "spot", "key_frames_only"}
        assert {Path(cfg.paths.labels).name for cfg in made} == {"26_s0"}


def test_sure_boxes_of_annotate_become_a_data_set(held_out, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / "real" / "train" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "real" / "train" / name / f"{number:08d}.jpg").write_bytes(b"")
    monkeypatch.setattr(held_out, "REAL", tmp_path / "real")
    monkeypatch.setattr(held_out, "FOLDER", tmp_path / "study")
    ran = []

    def spot(command, outputs, log, options):
        ran.append((command, options))
        if command == "annotate":
            (file := outputs / "annotations" / "key_frames_only_k3_s1" / "annotations.csv").parent.mkdir(parents=True)
            boxes = (
                "1,2,3,4,1.0,1,0",
                "5,6,7,8,0.95,0,0",
                "1,1,9,9,0.8,0,0",
                "1,2,3,4,1.0,1,0",
                ",,,,0.97,0,1",
                "2,2,2,2,0.9,0,0",
            )
            rows = [f"{'ab'[i // 3]},1,{i % 3},{box}" for i, box in enumerate(boxes)]
            file.write_text("\n".join(["video,target,frame,x,y,w,h,score,is_gt,absent", *rows]) + "\n")

    monkeypatch.setattr(held_out, "spot", spot)
    (job,) = held_out.jobs("ocean_small", argparse.Namespace(split="test", seeds=[1], settings=["annotated"], k=[3]))
    job.prepare()
    job.prepare()
    assert [command for command, _ in ran] == ["train", "annotate"], "what is made is not made again"
    assert "supervision=key_frames_only" in ran[0][1]
    videos = load(next(word.partition("=")[2] for word in job.train if word.startswith("paths.folder=")))
    assert videos.names == ["a", "b"]
    assert videos["a"].visible.tolist() == [True, True, False], "a score of 0.8 is too low"
    assert videos["b"].visible.tolist() == [True, False, True], "absent in the middle"
    assert videos["a"].boxes[1].tolist() == [5, 6, 7, 8]


def test_a_video_is_tracked_from_four_starts_where_its_target_is_seen(held_out, tmp_path, monkeypatch):
    video = tmp_path / "real" / "val" / "v"
    video.mkdir(parents=True)
    (video.parent / "list.txt").write_text("v\n")
    for number in range(6):
        (video / f"{number:08d}.jpg").write_bytes(b"")
    (video / "groundtruth.txt").write_text("".join(f"{number},0,5,5\n" for number in range(6)))
    (video / "absence.label").write_text("1\n0\n0\n0\n0\n1\n")
    monkeypatch.setattr(held_out, "REAL", tmp_path / "real")
    monkeypatch.setattr(held_out, "FOLDER", tmp_path)
    for _ in range(2):  # the second time all is there
        held_out.lay_out_tracks("val")
    first = {
        folder.name.rpartition("__")[2]: [line[0] for line in (folder / "groundtruth.txt").read_text().splitlines()]
        for folder in held_out.tracks("val").iterdir()
    }
    assert first == {
        "start": list("12345"), "middle": list("345"), "end_backwards": list("43210"), "middle_backwards": list("3210"),
    }  # fmt: skip
    assert (held_out.tracks("val") / "v__end_backwards" / "00000001.jpg").resolve().name == "00000004.jpg"


def test_calibration_makes_overconfident_predictions_right(calibration):
    rng = np.random.default_rng(0)
    true = np.clip(rng.normal(0.75, 0.12, 600), 0, 1)
    said = np.clip(true + 0.12 + rng.normal(0, 0.02, 600), 0, 0.999)
    examples, others = (calibration.Predictions(said[part], true[part]) for part in (slice(300), slice(300, None)))
    assert calibration.error(others) > 0.1
    for fit in (calibration.isotonic, calibration.temperature):
        after = calibration.Predictions(fit(examples)(others.predicted), others.true)
        assert calibration.error(after) < 0.04
        grid = fit(examples)(np.linspace(0, 1, 50))
        assert (np.diff(grid) >= 0).all()


def test_the_page_has_the_calibration_that_was_measured(calibration):
    results = json.loads((ROOT / "docs" / "study" / "calibration.json").read_text())
    assert calibration.table(results) in (ROOT / "docs" / "study.md").read_text()


def test_a_held_back_key_frame_lends_neither_its_box_nor_its_template(calibration):
    boxes = np.array([[0, 0, 10, 10], [9, 9, 10, 10], [30, 30, 10, 10]], np.float32)
    log = np.concatenate([boxes, np.ones((3, 1), np.float32)], axis=1)
    ids = np.array([0, 10, 20], np.int32)
    target = TargetState(21, ids, np.arange(3, dtype=np.int32), log, np.array([0, 1], np.int32), ids, boxes)
    drawn = calibration.instance(calibration.without(target, 20), 20)
    assert (drawn.frame, drawn.key) == (20, 10)
    np.testing.assert_array_equal(drawn.box, boxes[1])


def test_rows_of_the_same_settings_need_no_run_on_another_machine(held_out):
    from runs import config_hash, missing
    from study_tables import merged

    options = argparse.Namespace(split="test", seeds=[0], settings=["full", "key_frames_only"], k=[3])
    full, alone = jobs = held_out.jobs("ocean_small", options)
    outputs = held_out.FOLDER / "test" / "ocean_small"
    rows = [
        {"start": "ocean_small", "setting": "full", "k": None, "seed": 0, "config": config_hash(full, outputs)},
        {"start": "ocean_small", "setting": alone.setting, "k": 3, "seed": 0, "config": "of before"},
        {"start": "peers", "setting": "MIL", "k": None, "seed": 0, "config": ""},
    ]
    assert missing(jobs, rows, outputs) == [alone]
    made_anew = {**rows[1], "config": "of now"}
    every = merged([rows[2], made_anew], rows)
    assert sorted(every, key=lambda row: held_out.order(held_out.run_of(row))) == [rows[0], made_anew, rows[2]]
