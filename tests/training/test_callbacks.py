"""Callbacks around the losses: the teacher's average, skipped steps, the sampler state, validation."""

import csv
import logging
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from spot.data.key_frame_sampling import sample_key_frames
from spot.data.targets import Targets
from spot.runtime.errors import SpotError
from spot.train import train
from spot.training.callbacks import ema
from spot.training.callbacks.ema import TeacherAverage
from spot.training.callbacks.non_finite import SkipNonFinite
from spot.training.callbacks.run_start import RunStart
from spot.training.callbacks.state_keeper import PATIENCE, SamplerStateKeeper
from spot.training.callbacks.validation import evenly, load_benchmark
from spot.training.fit import build_callbacks
from spot.training.run import Run
from tests.training.configs import composed
from tests.training.test_module import logged, make_tracker, steps  # noqa: F401

SMALL = (
    "experiment=smoke", "run=small", "training.epochs=3", "training.steps=2", "training.labelled=1",
    "training.unlabelled=2", "data.videos=6", "data.frames=16", "data.size=[160,120]", "trainer=cpu",
    "arch.recipe.scheduler.milestones=[1,2]",
)  # fmt: skip


# the teacher's average


@pytest.mark.parametrize(
    ("interval", "moved"),
    [(5, [4, 9]), (1, list(range(12))), (3, [2, 5, 8, 11]), (0, [])],
)
def test_the_teacher_moves_before_the_published_steps_of_each_epoch(monkeypatch, interval, moved):
    """docs/method.md section 4: before steps 4, 9, 14, ..., counted anew in each epoch; at the first sparse step it is the student."""
    monkeypatch.setattr(ema, "burn_in_of", lambda trainer: 2)
    calls = []
    teacher = SimpleNamespace(update_ema=lambda student, decay=None: calls.append((epoch, step, decay)))
    module = SimpleNamespace(teacher=teacher, student=None)
    callback = TeacherAverage(interval)
    for epoch in range(1, 5):
        batch = SimpleNamespace(unlabelled=None if epoch < 2 else "frames")
        for step in range(12):
            callback.on_train_batch_start(SimpleNamespace(current_epoch=epoch), module, batch, step)
    copies = [(epoch, step) for epoch, step, decay in calls if decay == 0]
    assert copies == [(2, 0)]
    for epoch in (2, 3, 4):
        assert [step for at, step, decay in calls if at == epoch and decay is None] == moved


# skipped steps


def one_step(tracker, optimizer, guard, batch, spoil):
    trainer = SimpleNamespace(world_size=1, current_epoch=0)
    guard.on_train_batch_start(trainer, tracker, batch, 0)
    loss = spoil(tracker.training_step(batch, 0)["loss"])
    guard.on_before_backward(trainer, tracker, loss)
    optimizer.zero_grad()
    loss.backward()
    if spoil is spoil_gradient:
        next(p.grad for p in tracker.student.parameters() if p.grad is not None)[0] = float("inf")
    guard.on_before_optimizer_step(trainer, tracker, optimizer)
    optimizer.step()


def spoil_loss(loss):
    return loss * float("nan")


def make_infinite(loss):
    return loss + float("inf")  # its gradient is finite


def spoil_gradient(loss):
    return loss


@pytest.mark.parametrize("spoil", [spoil_loss, make_infinite, spoil_gradient])
@pytest.mark.parametrize("arch", ["transt_tiny", "ocean_tiny"])
def test_a_bad_step_changes_nothing_and_is_counted(arch, spoil, steps, logged):  # noqa: F811
    tracker = make_tracker(arch).train()
    optimizer = tracker.configure_optimizers()["optimizer"]
    guard, batch = SkipNonFinite(limit=3), steps(tracker)[1, 0]
    one_step(tracker, optimizer, guard, batch, lambda loss: loss)
    assert guard.skipped == 0
    before = {k: v.clone() for k, v in tracker.student.state_dict().items()}
    one_step(tracker, optimizer, guard, batch, spoil)
    after = tracker.student.state_dict()
    assert [k for k in before if not torch.equal(before[k], after[k])] == []  # BatchNorm statistics too
    assert guard.state_dict() == {"skipped": 1, "in_a_row": 1}

    again = SkipNonFinite(limit=3)
    again.load_state_dict(guard.state_dict())
    one_step(tracker, optimizer, again, batch, spoil)
    with pytest.raises(SpotError, match="3 steps in a row"):
        one_step(tracker, optimizer, again, batch, spoil)
    assert again.skipped == 3


def test_a_good_step_ends_the_row(steps, logged):  # noqa: F811
    tracker = make_tracker().train()
    optimizer = tracker.configure_optimizers()["optimizer"]
    guard, batch = SkipNonFinite(limit=2), steps(tracker)[1, 0]
    for spoil in (spoil_loss, lambda loss: loss, spoil_loss):
        one_step(tracker, optimizer, guard, batch, spoil)
    assert guard.state_dict() == {"skipped": 2, "in_a_row": 1}


# the sampler state


def test_one_warning_where_no_label_is_kept_for_epochs(caplog):
    keeper = SamplerStateKeeper(snapshot_every=0, resume_every=1, checkpoint_every=1)
    trainer = SimpleNamespace(is_global_zero=True)
    with caplog.at_level(logging.WARNING):
        for kept in (0, 0, 5, *[0] * (PATIENCE + 4)):
            keeper._warn(trainer, kept)
    (record,) = caplog.records
    assert "teacher.threshold" in record.getMessage()


def test_key_frames_are_known(videos):
    targets = Targets([videos], [sample_key_frames(videos, 3, seed=0)])
    for target in range(len(targets)):
        frames = np.arange(16)
        keys = set(targets.keys(target)[0].tolist())
        assert targets.is_key(np.full(16, target), frames).tolist() == [frame in keys for frame in frames]


# whole runs


def run(videos, outputs, *options):
    folder = videos.frames[0].folder.rsplit("/", 2)[0]
    return train(composed("train", *SMALL, f"paths.outputs={outputs}", f"paths.synthetic={folder}", *options))


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def state_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def plain(videos, tmp_path_factory):
    return run(videos, tmp_path_factory.mktemp("plain"), "exploration.step=0")


@pytest.fixture(scope="module")
def validated(videos, tmp_path_factory):
    held_out = videos.frames[0].folder.rsplit("/", 1)[0]
    options = (f"validation={held_out}", "monitor.validation_every=2", "monitor.validation_videos=2")
    options += ("checkpoint.resume_every=2",)  # the last epoch, the third, has a resume point too
    return run(videos, tmp_path_factory.mktemp("validated"), "exploration.step=0", *options)


def test_the_logged_rate_is_that_of_the_epoch_and_epochs_count_from_one(plain):
    rows = rows_of(plain)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["learning_rate/head"]) for row in rows] == pytest.approx([1e-3, 1e-4, 1e-5])


def test_labels_of_key_frames_are_not_measured(plain):
    """Without propagating only key frames are labelled, whose boxes are known: nothing is shown of them."""
    rows = rows_of(plain)
    assert float(rows[-1]["pseudo/kept_fraction"]) == 1
    assert not any(row.get(name) for row in rows for name in ("pseudo_label_iou", "coarse_center_error"))


def test_validation_measures_and_disturbs_nothing(plain, validated):
    rows = rows_of(validated)
    assert [bool(row["val/success"]) for row in rows] == [False, True, True]  # every second, and the last
    assert all(0 < float(row[name]) < 1 for row in rows[1:] for name in ("val/success", "val/AO"))
    first, second = state_of(plain), state_of(validated)
    assert [k for k in first if not torch.equal(first[k], second[k])] == []


def test_validation_names_what_there_is_not(tmp_path):
    with pytest.raises(SpotError, match="neither a benchmark"):
        load_benchmark(str(tmp_path / "none"), {})
    assert evenly([1, 2], 5) == [1, 2]


def test_a_checkpoint_of_another_network_is_one_line(videos, plain, tmp_path):
    shutil.copytree(plain, tmp_path / plain.name)
    last = tmp_path / plain.name / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["state_dict"]["student.more"] = torch.zeros(1)
    content["epoch"] = 1  # one epoch is left
    torch.save(content, last)
    with pytest.raises(SpotError, match=r"last\.ckpt: holds another network"):
        run(videos, tmp_path, "exploration.step=0")


# the choice of callbacks


def test_synchronised_batch_norm_is_refused_on_a_cpu(videos, tmp_path):
    with pytest.raises(SpotError, match=r"^trainer\.sync_batchnorm=true works on GPUs only"):
        run(videos, tmp_path, "trainer.sync_batchnorm=true")


def test_callbacks_are_a_choice():
    cfg = composed("train", *SMALL, "callbacks=[default,model_summary]", "callbacks.pictures=null")
    kinds = [type(callback).__name__ for callback in build_callbacks(cfg)]
    assert "RichModelSummary" in kinds
    assert "Pictures" not in kinds
    with pytest.raises(SpotError, match="sampler_state is missing"):
        build_callbacks(composed("train", *SMALL, "callbacks.sampler_state=null"))


@pytest.mark.parametrize(("choice", "kind"), [("adamw", "AdamW"), ("sgd", "SGD")])
def test_the_optimiser_is_a_choice(choice, kind):
    from tests.training.configs import built

    cfg = composed("train", "arch=ocean_tiny", "data=synthetic", f"optimizer={choice}", "scheduler=cosine")
    made = built(cfg).configure_optimizers()
    assert type(made["optimizer"]).__name__ == kind
    assert type(made["lr_scheduler"]["scheduler"]).__name__ == "CosineAnnealingLR"
    assert [group["name"] for group in made["optimizer"].param_groups] == ["head", "backbone"]


@pytest.mark.parametrize(
    ("arch", "processes", "resume", "refused"),
    [
        ("ocean_tiny", 2, "auto", True),
        ("ocean_tiny", 1, "auto", False),
        ("ocean_tiny", 2, "anyway", False),
        ("transt_tiny", 2, "auto", False),  # has no BatchNorm
    ],
)
def test_batch_norm_keeps_a_run_to_its_number_of_processes(arch, processes, resume, refused, tmp_path):
    start = RunStart(
        Run(tmp_path, tmp_path / "last.ckpt", processes=1), OmegaConf.create({"resume": resume, "run": "r"})
    )
    trainer = SimpleNamespace(world_size=processes, is_global_zero=True)
    expected = pytest.raises(SpotError, match="was trained by 1 processes, not 2") if refused else nullcontext()
    with expected:
        start.on_fit_start(trainer, make_tracker(arch))
