"""On a CUDA device the program computes what it computes on a CPU; skipped where there is none."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from spot.data.augmentation import photometric, rotate_flip
from spot.runtime.composing import config_folder
from spot.runtime.precision import resolve_precision
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
ARCHITECTURES = ["transt_tiny", "ocean_tiny", "ostrack_tiny", "nanotrack"]


@pytest.fixture(autouse=True)
def exact():
    """Full single precision: TF32 rounds a thousand times coarser."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def settings(arch: str):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("train", [f"arch={arch}", "data=synthetic"]).arch


def make(arch: str):
    torch.manual_seed(0)
    return instantiate(settings(arch).network).eval()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_networks_predict_the_same(arch):
    network = make(arch)
    inputs = network.export_inputs(2)
    with torch.no_grad():
        here = network.candidates(network(*inputs))
        there = network.cuda().candidates(network(*(x.cuda() for x in inputs)))
    for ours, theirs, bound in zip(here, there, (1e-3, 0.05, 1e-3), strict=True):
        torch.testing.assert_close(theirs.cpu(), ours, rtol=0, atol=bound)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_trackers_find_the_same_boxes(arch):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (90, 120, 3), np.uint8) for _ in range(4)]
    found = []
    for device in ("cpu", "cuda"):
        tracker = instantiate(settings(arch).tracker)(make(arch).to(device))
        state = tracker.start(frames[:1], np.array([[40.0, 30.0, 30.0, 24.0]]))
        boxes = []
        for frame in frames[1:]:
            state, box, _ = tracker.step(state, [frame])
            boxes.append(box)
        found.append(np.concatenate(boxes))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=0.1)


def test_augmentation_is_the_same():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([[20.0, 22.0, 24.0, 20.0]]).repeat(4, 1)
    draws = torch.tensor([0.0, 7.0, -3.0, 180.0]), torch.tensor([False, True, True, False]), torch.full((4, 3), 90.0)
    brightness, grey = torch.tensor([0.8, 1.0, 1.1, 1.2]), torch.tensor([True, False, False, True])
    here = (*rotate_flip(images, boxes, *draws), photometric(images, brightness, grey))
    there = (
        *rotate_flip(images.cuda(), boxes.cuda(), *(x.cuda() for x in draws)),
        photometric(images.cuda(), brightness.cuda(), grey.cuda()),
    )
    different = (here[0] != there[0].cpu()).float().mean()
    assert different < 0.01  # a nearest neighbour at a tie
    torch.testing.assert_close(there[1].cpu(), here[1], rtol=0, atol=1e-3)
    torch.testing.assert_close(there[2].cpu(), here[2], rtol=0, atol=1e-5)


def test_automatic_precision():
    assert resolve_precision("auto", "gpu") == ("bf16-mixed" if torch.cuda.is_bf16_supported(False) else "32-true")


@pytest.mark.parametrize("arch", ["transt_tiny", "ocean_tiny", "ostrack_tiny"])
def test_commands(arch, tmp_path):
    """A run with automatic precision and loader processes, and a test of its last checkpoint."""

    def run(command: str, *words: str) -> None:
        arguments = [sys.executable, "-m", f"spot.{command}", *words, f"paths.outputs={tmp_path}"]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    words = ["experiment=smoke", f"arch={arch}", "trainer=auto", "trainer.accelerator=gpu", "trainer.devices=1"]
    words += ["trainer.precision=auto", "loader.workers=2", "run=gpu"]
    run("train", *words)
    run("test", "run=gpu", "benchmark.videos.videos=1", "benchmark.videos.frames=8", "accelerator=gpu")
    assert list((tmp_path / "results").rglob("*.txt"))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_two_processes(tmp_path):
    words = ["experiment=smoke", "trainer=ddp", "trainer.accelerator=gpu", "run=ddp", f"paths.outputs={tmp_path}"]
    assert subprocess.run([sys.executable, "-m", "spot.train", *words], cwd=ROOT).returncode == 0
