"""What a GPU does: the sparse step, the loader beside it, trackers, and two processes; within ten minutes.

    python scripts/bench/bench_gpu.py [--quick] [--json FILE] [--docs FILE]

Weights are random and pixels are noise or rendered: times do not depend on them. A step is 8 labelled pairs and 24
unlabelled instances, as published. `synchronisations` are the places in a step at which the host waits for the device.
`--docs` writes the table between the marks of a page. `--quick` takes small networks, to try the script out on a CPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from bench_step import build, noise
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.utils._pytree import tree_map_only

from spot.runtime.composing import config_folder
from spot.training.module import SparseTracker

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("transt", "ocean", "ostrack")
WAYS = (("float32", False), ("bf16", False), ("bf16", True))  # precision, compiled
MARKS = ("<!-- gpu -->", "<!-- /gpu -->")
FRAME = (360, 640, 3)


class Step(NamedTuple):
    """Figures of a sparse step: milliseconds, GiB at the peak, and how often the host waits for the device."""

    ms: float
    gib: float
    synchronisations: int


def measure_step(arch: str, precision: str, compiled: bool, device: torch.device, repeats: int) -> Step:
    """Take a few steps of 8 + 24 instances after two that warm up; the teacher's update is among them."""
    tracker = build(arch).to(device)
    if compiled:
        tracker.compile_networks()
    batch = tree_map_only(torch.Tensor, lambda x: x.to(device), noise(tracker.student, 8, 24))
    optimizer = torch.optim.AdamW(tracker.student.parameters(), fused=device.type == "cuda")

    def step() -> None:
        take_step(tracker, optimizer, batch, device, precision)

    for _ in range(2):
        step()
    waits = count_synchronisations(step) if device.type == "cuda" else 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = [seconds(step, device) * 1e3 for _ in range(repeats)]
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return Step(median(times), peak, waits)


def take_step(tracker: SparseTracker, optimizer: Any, batch: Any, device: torch.device, precision: str) -> None:
    """Do what Lightning does with the module, and move the teacher."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss = tracker.training_step(batch, 0)["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    assert tracker.teacher is not None
    tracker.teacher.update_ema(tracker.student)


def count_synchronisations(step: Callable[[], object]) -> int:
    """Count the warnings that PyTorch gives at operations that wait for the device."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def measure_tracker(arch: str, streams: int, device: torch.device, frames: int) -> float:
    """Frames per second of so many videos in lock-step, in float32, without reading images."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        settings = compose("train", [f"arch={arch}", "data=synthetic"]).arch
    tracker = instantiate(settings.tracker)(build(arch).student.to(device).eval())
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, FRAME, np.uint8) for _ in range(streams)]
    state = tracker.start(pictures, np.tile([300.0, 160.0, 60.0, 48.0], (streams, 1)))
    for _ in range(2):
        state, *_ = tracker.step(state, pictures)
    begin = time.perf_counter()
    for _ in range(frames):
        state, *_ = tracker.step(state, pictures)
    return frames * streams / (time.perf_counter() - begin)


def measure_loader(workers: int) -> float:
    """Training instances per second of the published steps from rendered 640 x 360 JPEGs, by `workers` processes."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["arch=transt", "data=synthetic", "data.videos=8", "data.frames=12", "data.size=[640,360]"]
        words += [f"paths.outputs={folder}", f"loader.workers={workers}", "run=loader", "training.burn_in=1"]
        words += ["training.epochs=3", f"training.steps={2 * workers + 4}", "teacher.threshold=0", "trainer=cpu"]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            data = instantiate(compose("train", words).datamodule)(fresh=True)
        data.trainer = _Alone(1)  # the epoch of the sparse stage
        data.prepare_data()
        batches = iter(data.train_dataloader())
        for _ in range(workers):
            next(batches)
        begin, count = time.perf_counter(), 0
        for batch in batches:
            count += batch.instances
        return count / (time.perf_counter() - begin)


class _Alone:
    """What the data module asks a trainer about: the rank, the number of processes and the epoch."""

    global_rank, world_size, is_global_zero = 0, 1, True

    def __init__(self, epoch: int) -> None:
        self.fit_loop = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epoch)))


def two_processes() -> bool:
    """Train the smoke experiment on two GPUs; True if it ends well."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["experiment=smoke", "trainer=ddp", "trainer.accelerator=gpu", "run=ddp", f"paths.outputs={folder}"]
        return subprocess.run([sys.executable, "-m", "spot.train", *words], cwd=ROOT).returncode == 0


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall seconds until the device is done."""
    begin = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a page's Markdown."""
    lines = [
        f"{figures['device']}, PyTorch {figures['torch']}, commit {figures['commit']}. A step is 8 + 24 instances.",
        "",
        "| network | precision | step | peak memory | host waits | frames/s, one video | eight videos |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in figures["steps"]:
        fps = figures["trackers"][row["arch"]]
        speeds = f"{fps['1']:.0f} | {fps['8']:.0f}" if row["precision"] == "float32" else " | "
        lines.append(
            f"| {row['arch']} | {row['precision']}{', compiled' if row['compiled'] else ''} | {row['ms']:.0f} ms "
            f"| {row['gib']:.1f} GiB | {row['synchronisations']} | {speeds} |"
        )
    rate = figures["loader_instances_per_second"]
    lines += ["", f"The loader makes {rate:.0f} instances a second with {figures['workers']} processes."]
    return "\n".join(lines)


def write_between_marks(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page."""
    before, _, rest = page.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    if not rest or not after:
        raise SystemExit(f"{page} has no {MARKS[0]} ... {MARKS[1]}; add the marks")
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small networks, few repeats; runs on a CPU, too")
    parser.add_argument("--workers", type=int, default=8, help="loader processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table between the marks of this page")
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.quick:
        raise SystemExit("error: no CUDA device; --quick tries the script out on a CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = [f"{arch}_tiny" for arch in ARCHITECTURES] if options.quick else ARCHITECTURES
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "CPU",
        "torch": torch.__version__,
        "commit": commit.strip() or "unknown",
        "workers": options.workers,
        "steps": [],
        "trackers": {},
    }
    for arch in names:
        for precision, compiled in WAYS[:1] if device.type == "cpu" else WAYS:
            found = measure_step(arch, precision, compiled, device, 2 if options.quick else 10)
            figures["steps"].append({"arch": arch, "precision": precision, "compiled": compiled, **found._asdict()})
            print(f"{arch} {precision}{' compiled' if compiled else ''}: {found}", flush=True)
        count = 4 if options.quick else 60
        figures["trackers"][arch] = {str(n): measure_tracker(arch, n, device, count) for n in (1, 8)}
        print(f"{arch} frames/s: {figures['trackers'][arch]}", flush=True)
    figures["loader_instances_per_second"] = measure_loader(options.workers)
    if torch.cuda.device_count() > 1:
        figures["two_processes"] = two_processes()
    print(table(figures))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.docs:
        write_between_marks(options.docs, table(figures))


if __name__ == "__main__":
    main()
