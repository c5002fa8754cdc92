"""The published recipes (docs/method.md section 4), through the configuration, and across a resume."""

import re

import pytest
import torch
from hydra.utils import instantiate

from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.train import train
from tests.tracking.fakes import FakeNetwork
from tests.training.configs import built, composed

EXPERIMENTS = sorted(p.stem for p in (config_folder() / "experiment").glob("*.yaml"))


def schedule(cfg):
    """Optimiser and scheduler of a recipe over two small groups, as SparseTracker makes them."""
    recipe = instantiate(cfg.arch.recipe)
    network = FakeNetwork()
    network.backbone = torch.nn.Linear(1, 1)
    optimizer = recipe.optimizer(network.parameter_groups(recipe.lr, **recipe.groups))
    return optimizer, recipe.scheduler(optimizer)


def rates(optimizer, scheduler, epochs):
    """Rates of (rest, backbone) in each epoch from here on."""
    out = []
    for _ in range(epochs):
        out.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    return out


@pytest.mark.parametrize(
    ("experiment", "epoch", "rest", "backbone"),
    [
        ("sp_transt_k3", 0, 1e-4, 1e-5),
        ("sp_transt_k3", 299, 1e-4, 1e-5),  # the last epoch before the step
        ("sp_transt_k3", 300, 1e-5, 1e-6),
        ("sp_transt_k3", 399, 1e-5, 1e-6),
        ("sp_transt_got10k", 249, 1e-4, 1e-5),
        ("sp_transt_got10k", 250, 1e-5, 1e-6),
        ("sp_ocean_k3", 0, 1e-3, 1e-4),
        ("sp_ocean_k3", 6, 1e-3, 1e-4),  # a schedule step lasts 350 / 50 = 7 epochs
        ("sp_ocean_k3", 7, 1e-3 * 5**0.2, 1e-4 * 5**0.2),
        ("sp_ocean_k3", 35, 5e-3, 5e-4),  # the decay begins
        ("sp_ocean_k3", 349, 1e-5, 1e-6),
        ("sp_ocean_got10k", 5, 1e-3, 1e-4),  # 300 / 50 = 6 epochs
        ("sp_ocean_got10k", 6, 1e-3 * 5**0.2, 1e-4 * 5**0.2),
    ],
)
@pytest.mark.parametrize("resumed", [False, True], ids=["in one go", "after a resume at that epoch"])
def test_rates_around_each_boundary(experiment, epoch, rest, backbone, resumed):
    cfg = composed("train", f"experiment={experiment}")
    optimizer, scheduler = schedule(cfg)
    rates(optimizer, scheduler, epoch)
    if resumed:
        saved = optimizer.state_dict(), scheduler.state_dict()
        optimizer, scheduler = schedule(cfg)
        optimizer.load_state_dict(saved[0])
        scheduler.load_state_dict(saved[1])
    assert rates(optimizer, scheduler, 1)[0] == pytest.approx((rest, backbone), rel=1e-9)


@pytest.mark.parametrize(
    ("experiment", "labels", "epochs", "frozen", "threshold", "window", "clip"),
    [
        ("sp_transt_k2", 2, 400, 0, 0.85, 0.40, None),
        ("sp_transt_k5", 5, 400, 0, 0.85, 0.40, None),
        ("sp_transt_got10k", 3, 350, 0, 0.85, 0.40, None),
        ("sp_ocean_k2", 2, 350, 69, 0.82, 0.30, 25),
        ("sp_ocean_got10k", 3, 300, 59, 0.82, 0.30, 25),
    ],
)
def test_constants_of_the_published_recipes(experiment, labels, epochs, frozen, threshold, window, clip):
    cfg = composed("train", f"experiment={experiment}")
    plan = cfg.training
    assert (cfg.labels, plan.epochs, plan.burn_in, plan.steps) == (labels, epochs, 50, 1000)
    assert (plan.labelled, plan.unlabelled) == (8, 24)
    assert (cfg.teacher.threshold, cfg.teacher.window) == (threshold, window)
    assert (cfg.teacher.decay, cfg.teacher.ema_interval) == (0.998, 5)
    assert (cfg.arch.network.frozen_epochs, cfg.arch.recipe.clip_norm) == (frozen, clip)
    assert cfg.checkpoint.every == 25


@pytest.mark.parametrize("arch", sorted(p.stem for p in (config_folder() / "arch").glob("*.yaml")))
def test_every_architecture_reaches_its_sparse_stage_by_default(arch):
    plan = composed("train", f"arch={arch}", "data=synthetic").training
    assert 0 < plan.burn_in < plan.epochs


def test_a_backbone_that_cannot_be_frozen_is_told():
    with pytest.raises(SpotError, match="SmallCNN cannot be frozen"):
        built(composed("train", "arch=ocean_tiny", "data=synthetic", "arch.network.frozen_epochs=1"))


LIKE_ANOTHER = re.compile(r"sp_\w+_(k2|k5|got10k|one_gpu)")
"""Experiments that differ from a `_k3` in numbers alone; tests/runtime/test_checking.py composes them all."""


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if not LIKE_ANOTHER.fullmatch(name)])
def test_every_kind_of_experiment_runs(experiment, tmp_path, videos):
    """One epoch of burn-in and one of the sparse stage, each a step, with the small network of its kind."""
    kinds = {"ocean": "ocean_tiny", "ostrack": "ostrack_tiny", "nano": "nanotrack"}
    kind = next((small for name, small in kinds.items() if name in experiment), "transt_tiny")
    cfg = composed(
        "train",
        f"experiment={experiment}",
        f"arch={kind}",
        "data=synthetic",
        "trainer=cpu",
        f"paths.outputs={tmp_path}",
        f"paths.synthetic={videos.frames[0].folder.rsplit('/', 2)[0]}",
        "data.videos=6",
        "data.frames=16",
        "data.size=[160,120]",
        "training.epochs=2",
        "training.burn_in=1",
        "training.steps=1",
        "training.labelled=1",
        "training.unlabelled=2",
        "loader.workers=0",
        "teacher.threshold=0",
        "validation=null",
        "arch.network.frozen_epochs=0",  # the small backbone cannot be frozen
        *(["initial=null"] if "nano" in experiment else []),  # its weights are a file of the user's
    )
    folder = train(cfg)
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "metrics.csv").read_text().count("\n") == 3
