"""Size and cost of the architectures: the table of docs/choosing.md.

    python scripts/bench/bench_networks.py [--arch nanotrack,ocean] [--frames 20] [--json FILE]

Parameters and operations are counted, not timed. Memory is derived: what the student's forward pass keeps for the
backward pass, for each of the 32 instances of a step, and the weights with gradients, optimiser state and teacher. The
operations of a sparse step are derived, too: 32 instances of the student, whose backward pass costs twice the forward
pass, and 24 of the teacher.
Frames a second are those of one video of 640 x 360 pixels with random weights, CPU time of one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spot.architectures.base import TrackerNetwork
from spot.runtime.composing import config_folder
from spot.tracking.backends import with_backend
from spot.tracking.video_tracker import VideoTracker

ARCHS = (
    "nanotrack_v1",
    "nanotrack_v2",
    "ocean_small",
    "ocean_tiny",
    "transt_tiny",
    "ostrack_tiny",
    "transt_small",
    "ocean",
    "transt",
    "ostrack",
    "ostrack_384",
)
INSTANCES, TEACHER = 32, 24  # of a step of the published recipes: the student's, the teacher's


def configure(arch: str) -> DictConfig:
    """The settings of an architecture, without pretrained weights."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        settings = compose("train", [f"arch={arch}", "data=synthetic"]).arch
    if "weights" in settings.network.get("backbone", {}):
        settings.network.backbone.weights = "none"
    return settings


def count_parameters(network: nn.Module) -> tuple[float, float]:
    """Millions of parameters: all of them, and those that are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return sum(n for n, _ in sizes) / 1e6, sum(n for n, trained in sizes if trained) / 1e6


@torch.no_grad()
def count_gflop(network: TrackerNetwork) -> tuple[float, float]:
    """Billions of operations for one template and for one search crop; a multiplication and an addition are two."""
    template, boxes, search = network.eval().export_inputs()
    with FlopCounterMode(display=False) as once:
        features = network.encode_template(template, boxes)
    with FlopCounterMode(display=False) as each:
        network.predict(features, search)
    return once.get_total_flops() / 1e9, each.get_total_flops() / 1e9


def kept_bytes(network: TrackerNetwork) -> int:
    """Bytes that the forward pass of one training instance keeps for the backward pass, in float32.

    Attention runs without dropout here, in a fused kernel as on a GPU.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.MultiheadAttention) or isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    weights = {p.untyped_storage().data_ptr() for p in [*network.parameters(), *network.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    template, boxes, search = network.export_inputs(2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        prediction = network(template, boxes, search)
    del prediction
    return sum(kept.values()) // 2


def step_gigabytes(settings: DictConfig) -> float:
    """Memory of a training step, derived: activations of 32 instances; weights, gradients, optimiser state, teacher."""
    network = instantiate(settings.network)
    total, trained = count_parameters(network)
    states = 2 if "Adam" in settings.recipe.optimizer._target_ else 1
    weights = 4e6 * (2 * total + (1 + states) * trained)
    return (weights + INSTANCES * kept_bytes(network)) / 2**30


def frames_per_second(settings: DictConfig, backend: str, count: int) -> float:
    """Frames a second of one video, by the median CPU time of one thread."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 360, 640, 3), np.uint8)
    tracker = VideoTracker(instantiate(settings.tracker)(with_backend(instantiate(settings.network), backend)))
    tracker.start(frames[0], [280, 150, 60, 50])
    tracker.step(frames[1])
    times = []
    for i in range(count):
        begin = time.process_time()
        tracker.step(frames[i % len(frames)])
        times.append(time.process_time() - begin)
    return 1 / median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default=",".join(ARCHS), help="which architectures")
    parser.add_argument("--backend", default="auto", help="what runs the networks, as of spot.test")
    parser.add_argument("--frames", type=int, default=20, help="frames to time; 0 times none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    print(
        "| `arch=` | parameters, M | GFLOP a frame | frames/s, CPU | GB a step | TFLOP a step |\n|---|---|---|---|---|---|"
    )
    for arch in options.arch.split(","):
        settings = configure(arch)
        total, trained = count_parameters(instantiate(settings.network))
        template, search = count_gflop(instantiate(settings.network))
        row = {"parameters": total, "trained": trained, "gflop": search}
        row |= {
            "step_tflop": (3 * INSTANCES + TEACHER) * (template + search) / 1e3,
            "step_gb": step_gigabytes(settings),
        }
        row["fps"] = frames_per_second(settings, options.backend, options.frames) if options.frames else float("nan")
        figures[arch] = row
        print(
            f"| `{arch}` | {total:.2f} | {row['gflop']:.2f} | {row['fps']:.1f} | {row['step_gb']:.1f} "
            f"| {row['step_tflop']:.2f} |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
