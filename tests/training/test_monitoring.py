"""What a run tells its loggers, read back from their files; the names are those of docs/dashboard.md."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spot.data.key_frame_sampling import sample_key_frames
from spot.data.targets import Targets
from spot.runtime.errors import SpotError
from spot.train import train
from spot.training.callbacks.monitoring import Monitoring, center_errors
from spot.training.callbacks.pictures import Pictures, choose
from spot.training.loggers import open_wandb, run_id
from tests.paths import ROOT
from tests.training.configs import composed
from tests.training.test_module import Watch, logged, make_tracker, steps  # noqa: F401
from tests.training.wandb_files import Logged

SMALL = (
    "experiment=smoke", "run=study/labels-3", "sweep=study", "training.epochs=2", "training.steps=2",
    "data.videos=6", "data.frames=16", "data.size=[160,120]", "monitor.pictures_every=1", "monitor.pictures=2",
)  # fmt: skip


def documented(heading):
    """Names in the first column of the tables under a heading of docs/dashboard.md, as patterns; a GPU's left out."""
    text = (ROOT / "docs" / "dashboard.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `") and "(GPU)" not in line]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [re.sub(r"<\w+>", "[^/]+", name) for name in names]


def run(videos, outputs, logger):
    folder = videos.frames[0].folder.rsplit("/", 2)[0]
    options = [*SMALL, f"logger={logger}", f"paths.outputs={outputs}", f"paths.synthetic={folder}"]
    return train(composed("train", *options, *(["logger.mode=offline"] if logger == "wandb" else [])))


@pytest.fixture(scope="module")
def wandb_run(videos, tmp_path_factory):
    pytest.importorskip("wandb")
    folder = run(videos, tmp_path_factory.mktemp("wandb"), "wandb")
    return folder, Logged(folder)


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_all_documented_metrics_reach_wandb_and_csv(wandb_run):
    folder, found = wandb_run
    columns = rows_of(folder)[-1]
    names = documented("Panels")
    assert len(names) > 20
    for name in names:
        assert any(re.match(name, metric) for metric in found.history), name
        assert any(re.match(name, column) for column in columns), name


@pytest.mark.slow
def test_wandb_and_csv_are_told_the_same(wandb_run):
    folder, found = wandb_run
    rows = rows_of(folder)
    for name in ("labelled/loss", "labelled/pair_iou", "explored_fraction", "speed/samples_per_second"):
        assert found.history[name] == pytest.approx([float(row[name]) for row in rows]), name
    assert 0 < float(rows[-1]["labelled/pair_iou"]) < 1
    assert 0 < float(rows[-1]["coarse_center_error"]) < 3
    assert 0.1 < float(rows[-1]["memory/host_gib"]) < 64


@pytest.mark.slow
def test_the_histogram_counts_every_label(wandb_run):
    folder, found = wandb_run
    (counts,) = found.history["pseudo/confidence_histogram/values"]
    assert sum(counts) == 2 * 6  # steps of the sparse epoch, unlabelled instances of each
    last = rows_of(folder)[-1]
    shares = [float(value) for name, value in last.items() if name.startswith("pseudo/confidence_histogram/")]
    assert shares == pytest.approx(np.array(counts) / 12)
    middles = (np.arange(20) + 0.5) / 20
    assert middles @ shares == pytest.approx(float(last["pseudo/confidence"]), abs=0.03)


@pytest.mark.slow
def test_pictures_have_boxes_and_say_what_they_are(wandb_run):
    _, found = wandb_run
    for panel in documented("Pictures"):
        (files,) = found.history[f"{panel}/filenames"]
        assert len(files) == 2
        assert all((found.files[0].parent / "files" / file).stat().st_size > 500 for file in files)
    assert "frame" in found.history["pictures/teacher/captions"][0][0]
    for panel, kinds in (("teacher", {1, 2}), ("student", {1})):  # with a threshold of 0 every label is kept
        overlay = found.history[f"pictures/{panel}/all_boxes"][0][0]["labels"]
        boxes = json.loads((found.files[0].parent / "files" / overlay["path"]).read_text())["box_data"]
        assert {box["class_id"] for box in boxes} == kinds
        place = boxes[0]["position"]
        assert place["minX"] < place["maxX"] <= 128.01


@pytest.mark.slow
def test_the_run_is_finished_and_knows_its_sweep_settings_and_code(wandb_run):
    _, found = wandb_run
    assert found.exit_codes == [0]
    assert found.run.run_group == "study"
    assert found.run.run_id == "study_labels-3"
    assert found.config["teacher"]["window"] == 0.4
    assert re.fullmatch(r"[0-9a-f]{40}\+?", found.config["commit"] or "0" * 40)


@pytest.mark.slow
def test_tensorboard_is_told_the_same(videos, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run(videos, tmp_path, "tensorboard")
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    rows = rows_of(folder)
    for name in documented("Panels"):
        known = events.Tags()["scalars"] + events.Tags()["histograms"]
        assert any(re.match(name, tag) for tag in known), name
    values = [event.value for event in events.Scalars("labelled/loss")]
    assert values == pytest.approx([float(row["labelled/loss"]) for row in rows])


def test_watching_a_step_never_waits_for_the_device(steps, logged):  # noqa: F811
    tracker = make_tracker()
    batch = steps(tracker)[1, 0]
    outputs = {"labels": tracker.teacher.label(batch.unlabelled)}
    optimizer = SimpleNamespace(param_groups=[])
    trainer = SimpleNamespace(current_epoch=1, is_global_zero=True, optimizers=[optimizer])
    watchers = [Monitoring(), Pictures(every=1, count=4)]
    watchers[1]._loggers = [None]
    with Watch() as watch:
        for watcher in watchers:
            watcher.on_train_epoch_start(trainer, tracker)
            watcher.on_train_batch_end(trainer, tracker, outputs, batch, 0)
    assert watch.found == []
    assert len(watchers[0]._coarse) == len(watchers[1]._batches) == 1


def test_kept_and_dropped_labels_are_chosen_alike():
    kept = torch.tensor([True, False, True, True, False, True])
    assert choose(kept, 2).tolist() == [0, 2, 1, 4]
    assert choose(kept, 3).tolist() == [0, 2, 3, 1, 4]  # there are no more


def test_center_errors_are_in_target_sizes(videos):
    targets = Targets([videos], [sample_key_frames(videos, 3, seed=0)])
    paths, frames = np.array([0, 0, 1]), np.array([2, 5, 3])
    truth = targets.annotated_boxes(paths, frames)
    centers = truth[:, :2] + truth[:, 2:] / 2
    size = np.sqrt(truth[:, 2:].prod(1))
    assert center_errors(targets, paths, frames, centers) == pytest.approx([0, 0, 0], abs=1e-6)
    centers[:, 0] += size * [0.5, 1, 2]
    assert center_errors(targets, paths, frames, centers) == pytest.approx([0.5, 1, 2], rel=1e-5)


def test_explored_shares_of_the_sets(videos):
    targets = Targets([videos], [sample_key_frames(videos, 3, seed=0)])
    explored = np.full(len(targets), 4)
    assert targets.explored_by_set(explored) == {videos.name: pytest.approx(4 / 16)}


@pytest.mark.parametrize(
    ("run", "expected"),
    [("demo", "demo"), ("study/labels-3", "study_labels-3"), ("a" * 120, "a" * 100 + "_")],  # wandb's own limits
)
def test_run_ids_are_what_wandb_allows(run, expected):
    assert run_id(run).startswith(expected)
    assert len(run_id(run)) <= 128


def test_an_unknown_mode_is_told(tmp_path):
    with pytest.raises(SpotError, match="online, offline or disabled"):
        open_wandb("a", tmp_path, "spot", mode="on")


def test_a_key_that_wandb_refuses_is_told_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    with pytest.raises(SpotError, match="WANDB_API_KEY"):
        open_wandb("a", tmp_path, "spot", mode="online")
