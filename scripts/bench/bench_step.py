"""A sparse training step: time and peak memory, reported; the teacher's average and the augmentation beside a plain way.

    python scripts/bench/bench_step.py [--quick] [--sizes 2,6] [--json FILE]

Training on a CPU is for tests and small networks, so the step has no goal. Times are medians over steps after a first
one, each precision in a process of its own. Pixels are noise: nothing here depends on them. `--quick` takes one step of
1 + 1 instances in float32.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from spot.architectures.base import TrackerNetwork
from spot.data.instances import Batch, LabelledPairs, UnlabelledInstances
from spot.runtime.composing import config_folder
from spot.supervision.label_filters import ConfidenceThreshold
from spot.supervision.teacher import Teacher
from spot.training.module import SparseTracker


def build(arch: str) -> SparseTracker:
    """Return an architecture with random weights whose teacher keeps every label."""
    options = [f"arch={arch}", "data=synthetic"]
    options += [] if arch.endswith("tiny") else ["arch.network.backbone.weights=none"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        arch_config = compose("train", options).arch
    torch.manual_seed(0)
    parts = [instantiate(arch_config[part]) for part in ("network", "loss", "recipe")]
    teacher = partial(Teacher, label_filter=ConfidenceThreshold(0.0), window=arch_config.teacher.window, decay=0.998)
    tracker = SparseTracker(*parts, teacher, seed=0, arch=arch)
    tracker.log = lambda *_, **__: None  # type: ignore[method-assign]
    return tracker.train()


def noise(network: TrackerNetwork, labelled: int, unlabelled: int) -> Batch:
    """Return a batch of noise with the boxes and draws of a real one."""
    generator = torch.Generator().manual_seed(1)
    template, search = network.template_size, network.search_size

    def images(count: int, size: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)

    def uniform(count: int, *ranges: tuple[float, float]) -> torch.Tensor:
        return torch.stack([torch.rand(count, generator=generator) * (high - low) + low for low, high in ranges], 1)

    def boxes(count: int, size: int) -> torch.Tensor:
        return uniform(count, (0.3, 0.4), (0.3, 0.4), (0.15, 0.35), (0.15, 0.35)) * size

    def whether(count: int, fraction: float) -> torch.Tensor:
        return torch.rand(count, generator=generator) < fraction

    def places(count: int) -> torch.Tensor:
        return uniform(count, (310, 330), (170, 190), (0.9, 1.1))

    n, zeros = unlabelled, torch.zeros(unlabelled, dtype=torch.int64)
    pairs = LabelledPairs(
        images(labelled, template),
        boxes(labelled, template),
        images(labelled, search),
        boxes(labelled, search),
        uniform(labelled, (0.8, 1.2), (0.8, 1.2)),
        whether(labelled, 0.5),
    )
    frames = UnlabelledInstances(
        key=images(n, template),
        key_box=boxes(n, template),
        teacher_search=images(n, search),
        teacher_geometry=places(n),
        relay=images(n, template),
        relay_box=boxes(n, template),
        student_search=images(n, search),
        student_geometry=places(n),
        image_size=torch.tensor([[640.0, 360.0]]).repeat(n, 1),
        fill=torch.full((n, 3), 118.0),
        brightness=uniform(n, *[(0.8, 1.2)] * 4),
        grey=whether(n, 0.5),
        flip=whether(n, 0.35),
        angle=torch.randint(-10, 11, (n,), generator=generator).float(),
        target_index=zeros,
        frame=zeros,
        number=zeros,
        propagated=whether(n, 0.5),
    )
    return Batch(pairs, frames, [])


def take_step(tracker: SparseTracker, optimizer: torch.optim.Optimizer, batch: Batch, bf16: bool) -> None:
    """What Lightning does with the module."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = tracker.training_step(batch, 0)["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measure(arch: str, bf16: bool, sizes: tuple[int, int], repeats: int) -> dict[str, float]:
    """Seconds of a step and gigabytes of the process at its peak; in a process of its own."""
    tracker = build(arch)
    batch = noise(tracker.student, *sizes)
    optimizer = torch.optim.AdamW(tracker.student.parameters())
    step: Callable[[], object] = partial(take_step, tracker, optimizer, batch, bf16)
    if repeats > 1:
        step()
    times = [timed(step) for _ in range(repeats)]
    cpu, wall = (median(column) for column in zip(*times, strict=True))
    return {"cpu_s": cpu, "wall_s": wall, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


@torch.no_grad()
def plain_update_ema(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """As published: two whole states as dictionaries, a third one as their average, loaded back."""
    new, theirs = OrderedDict(), student.state_dict()
    for key, value in teacher.state_dict().items():
        new[key] = theirs[key] * (1 - decay) + value * decay
    teacher.load_state_dict(new)


def bench_average(repeats: int) -> dict[str, float]:
    """The teacher's average over TransT's weights; milliseconds of CPU."""
    tracker = build("transt")
    teacher = tracker.teacher
    assert teacher is not None
    plain_teacher = copy.deepcopy(teacher.network)
    ways = {
        "ours": lambda: teacher.update_ema(tracker.student),
        "plain": lambda: plain_update_ema(plain_teacher, tracker.student, teacher.decay),
    }
    for parameter in tracker.student.parameters():
        parameter.data.add_(0.01)
    for way in ways.values():
        way()
    torch.testing.assert_close(list(teacher.network.parameters()), list(plain_teacher.parameters()))
    times = {name: [timed(way)[0] * 1e3 for _ in range(repeats)] for name, way in ways.items()}
    ratio = median(p / o for p, o in zip(times["plain"], times["ours"], strict=True))
    return {"ema": ratio, "ema_ours_ms": median(times["ours"]), "ema_plain_ms": median(times["plain"])}


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def processes() -> BaseContext:
    """Of fresh processes that need not import for long."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["spot.training.module"])
    return context


def isolated(function: Callable, *arguments: Any) -> Any:
    """Run in a fresh process with as many threads, so that its memory is the function's own."""
    with ProcessPoolExecutor(1, processes(), torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one step of 1 + 1 instances; ends within a minute")
    parser.add_argument("--sizes", default="2,6", help="labelled pairs and unlabelled instances of a step")
    parser.add_argument("--arch", default="transt,ocean", help="which architectures")
    parser.add_argument("--repeats", type=int, default=3, help="steps that are timed")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()
    labelled, unlabelled = (1, 1) if options.quick else map(int, options.sizes.split(","))
    repeats = 1 if options.quick else options.repeats

    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"sizes": f"{labelled}+{unlabelled}", "threads": options.threads}
    for arch in options.arch.split(","):
        for precision in ("float32",) if options.quick else ("float32", "bf16"):
            found = isolated(measure, arch, precision == "bf16", (labelled, unlabelled), repeats)
            figures |= {f"step_{arch}_{precision}_{name}": value for name, value in found.items()}
            print(
                f"{arch} {labelled}+{unlabelled} {precision}: {found['cpu_s']:.1f} s CPU, {found['wall_s']:.1f} s wall, "
                f"peak {found['peak_gb']:.1f} GB",
                flush=True,
            )
    figures |= isolated(bench_average, 5 if options.quick else 21)
    print(f"average of the teacher: {figures['ema']:.1f} times less CPU")
    if options.json:
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
        options.json.write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
