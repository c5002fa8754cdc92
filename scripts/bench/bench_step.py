"""A sparse training step beside the published way of taking it: time, peak memory, the teacher's average, augmentation.

    python scripts/bench/bench_step.py [--quick] [--sizes 2,6] [--json FILE]

Both start from the same weights and batches, each in a process of its own, one after the other; times are medians over
steps after a first one, the ratios of CPU time (those of wall time are given too, and hold on an idle machine alone).
Beforehand both are checked to give the same loss on small networks, without dropout and with the teacher in evaluation
mode, the one thing that ours does on purpose otherwise. Pixels are noise: nothing here depends on them. `bf16` is ours
with trainer.precision=bf16-mixed, which the published program does not know. `--quick` takes one step of 1 + 1 instances
and no first one, and leaves bf16 and the check out.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from bench_data import bench_augment
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from plain_step import PlainStep, plain_update_ema

from spot.architectures.base import TrackerNetwork
from spot.architectures.memory import keep_freed_memory
from spot.data.pairs import Batch, LabelledPairs, UnlabelledInstances
from spot.runtime.command import config_folder
from spot.supervision.label_filters import ConfidenceThreshold
from spot.supervision.teacher import Teacher
from spot.training.module import SparseTracker


def build(arch: str, dropout: bool = True) -> SparseTracker:
    """An architecture with random weights whose teacher keeps every label."""
    options = [f"arch={arch}", "data=synthetic"]
    options += [] if arch.endswith("tiny") else ["arch.network.backbone.weights=none"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("train", options)
    torch.manual_seed(0)
    network = instantiate(cfg.arch.network)
    for module in network.modules() if not dropout else ():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    parts = instantiate(cfg.arch.loss), instantiate(cfg.arch.recipe)
    make_teacher = partial(Teacher, label_filter=ConfidenceThreshold(0.0), window=cfg.arch.teacher.window, decay=0.998)
    tracker = SparseTracker(network, *parts, make_teacher, seed=0, arch=arch)
    tracker.log = lambda *_, **__: None  # type: ignore[method-assign]
    return tracker.train()


def noise(network: TrackerNetwork, labelled: int, unlabelled: int) -> Batch:
    """A batch of noise with the boxes and draws of a real one."""
    generator = torch.Generator().manual_seed(1)
    template, search = network.template_size, network.search_size

    def images(count: int, size: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)

    def uniform(count: int, *ranges: tuple[float, float]) -> torch.Tensor:
        return torch.stack([torch.rand(count, generator=generator) * (high - low) + low for low, high in ranges], 1)

    def boxes(count: int, size: int) -> torch.Tensor:
        return uniform(count, (0.3, 0.4), (0.3, 0.4), (0.15, 0.35), (0.15, 0.35)) * size

    def whether(count: int, share: float) -> torch.Tensor:
        return torch.rand(count, generator=generator) < share

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


def check(arch: str) -> None:
    """Both ways give the same loss and the same gradients, but for rounding."""
    tracker = build(arch, dropout=False)
    plain = PlainStep(tracker, teacher_mode=False)
    batch = noise(tracker.student, 1, 2)
    losses = tracker.training_step(batch, 0)["loss"], plain.loss(batch)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)
    for loss in losses:
        loss.backward()
    norms = [
        torch.nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
        for net in (tracker.student, plain.student)
    ]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-2, atol=1e-4)


def our_step(tracker: SparseTracker, optimizer: torch.optim.Optimizer, batch: Batch, bf16: bool) -> None:
    """What Lightning does with our module."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = tracker.training_step(batch, 0)["loss"]
    optimizer.zero_grad()
    loss.backward()
    tracker.configure_gradient_clipping(optimizer)
    optimizer.step()


def measure(arch: str, side: str, sizes: tuple[int, int], repeats: int) -> dict[str, float]:
    """Seconds of a step and gigabytes of the process at its peak, of `plain`, `ours` or `bf16`; in a process of its own."""
    tracker = build(arch)
    batch = noise(tracker.student, *sizes)
    if side == "plain":
        step: Callable[[], object] = partial(PlainStep(tracker).step, batch)
    else:
        keep_freed_memory()  # as spot.training.fit does
        optimizer = tracker.configure_optimizers()["optimizer"]  # type: ignore[index]
        step = partial(our_step, tracker, optimizer, batch, side == "bf16")
    if repeats > 1:
        step()
    times = [timed(step) for _ in range(repeats)]
    cpu, wall = (median(column) for column in zip(*times, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"cpu_s": cpu, "wall_s": wall, "peak_gb": peak}


def bench_average(repeats: int) -> dict[str, float]:
    """The teacher's average over TransT's weights; milliseconds of CPU."""
    tracker = build("transt")
    teacher = tracker.teacher
    assert teacher is not None
    plain_teacher = PlainStep(tracker).teacher
    ways = {
        "ours": lambda: teacher.update_ema(tracker.student),
        "plain": lambda: plain_update_ema(plain_teacher, tracker.student, 0.998),
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
        if not options.quick:
            check(f"{arch}_tiny")
        sides = {}
        for side in ("plain", "ours") if options.quick else ("plain", "ours", "bf16"):
            sides[side] = isolated(measure, arch, side, (labelled, unlabelled), repeats)
            figures |= {f"step_{arch}_{side}_{name}": value for name, value in sides[side].items()}
            print(f"{arch} {labelled}+{unlabelled} {side}: " + report(sides[side]), flush=True)
        plain, ours = sides["plain"], sides["ours"]
        figures[f"step_{arch}"] = plain["cpu_s"] / ours["cpu_s"]
        if "bf16" in sides:
            figures[f"step_{arch}_bf16"] = plain["cpu_s"] / sides["bf16"]["cpu_s"]
        figures[f"step_{arch}_wall"] = plain["wall_s"] / ours["wall_s"]
        figures[f"memory_{arch}"] = ours["peak_gb"] / plain["peak_gb"]
        print(
            f"  {figures[f'step_{arch}']:.2f} times less CPU, {figures[f'memory_{arch}']:.2f} of the peak memory"
            + (f"; {figures[f'step_{arch}_bf16']:.2f} times less with bf16" if "bf16" in sides else "")
        )
    with ThreadPoolExecutor(2 if options.quick else 1) as at_once:
        average = at_once.submit(isolated, bench_average, 5 if options.quick else 21)
        augmentation = at_once.submit(isolated, bench_augment, options.quick)
    figures |= average.result() | {"augmentation": augmentation.result()}
    print(f"average of the teacher: {figures['ema']:.1f} times less CPU")
    if options.json:
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
        options.json.write_text(json.dumps(rounded, indent=1) + "\n")


def report(side: dict[str, float]) -> str:
    return f"{side['cpu_s']:.1f} s CPU, {side['wall_s']:.1f} s wall, peak {side['peak_gb']:.1f} GB"


if __name__ == "__main__":
    main()
