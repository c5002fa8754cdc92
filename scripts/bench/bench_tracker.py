"""Trackers beside the published way of tracking, and videos in lock-step beside one after the other.

    python scripts/bench/bench_tracker.py [--quick] [--json FILE]

Synthetic videos of 640 x 360 pixels and random weights: the time of a frame does not depend on either. Each way tracks
in a process of its own, and the processes take a few frames in turn; boxes are checked to agree with those of the plain
way. A single stream is compared by CPU time on one thread, lock-step by the wall clock on two; ratios are the medians
of those of each turn. Ours is `backend=auto` (OpenVINO where it is installed); `torch` and `onnxruntime` are measured
beside it. Everything is float32.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench_data import render
from bench_step import build, isolated, processes, timed
from plain_tracker import PlainOceanTracker, PlainTransTTracker

from spot.architectures.ocean.tracker import OceanTracker
from spot.architectures.transt.tracker import TransTTracker
from spot.data.images import read_frame
from spot.runtime.errors import SpotError
from spot.tracking.backends import NEEDED, choose_backend, with_backend

ocean_tracker = partial(
    OceanTracker, context=0.5, penalty=0.062, window=0.38, learning_rate=0.765
)  # conf/arch/ocean.yaml
WAYS = {"transt": (TransTTracker, PlainTransTTracker), "ocean": (ocean_tracker, PlainOceanTracker)}
STREAMS = 8
RUN = 3  # frames in a turn, so that the others' use of the caches has little effect


def videos(folder: Path, frames: int) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Return frames of each video, and the first boxes."""
    made = render(folder, 360, STREAMS, frames)
    return [[read_frame(v.frames.path(i)).pixels for i in range(frames)] for v in made], np.stack(
        [v.boxes[0].astype(np.float64) for v in made]
    )


STEPS: list[Callable[[], np.ndarray]] = []  # of a process that tracks: one for each frame


def begin(arch: str, way: str, frames: list[np.ndarray], box: np.ndarray) -> None:
    """Start a tracker on the first frame and take the second one, at the start of a process."""
    torch.set_num_threads(1)
    network = build(arch).student.eval()
    make, make_plain = WAYS[arch.removesuffix("_tiny")]
    if way == "plain":
        plain = make_plain(network)
        plain.start(frames[0], box)
        follow: Callable[[np.ndarray], np.ndarray] = plain.step
    else:
        tracker = make(with_backend(network, way))
        state = tracker.start(frames[:1], box[None])

        def follow(frame: np.ndarray) -> np.ndarray:
            nonlocal state
            state, boxes, _ = tracker.step(state, [frame])
            return boxes[0]

    follow(frames[1])
    STEPS.extend(partial(follow, frame) for frame in frames)


def take(start: int) -> tuple[float, np.ndarray]:
    """Median CPU milliseconds of the next `RUN` frames in this process, and their boxes."""
    found: list[np.ndarray] = []
    cpu = [timed(lambda step=step: found.append(step()))[0] for step in STEPS[start : start + RUN]]
    return median(cpu) * 1e3, np.stack(found)


def bench_single(
    arch: str, frames: list[np.ndarray], box: np.ndarray, backends: tuple[str, ...] = ("auto",)
) -> dict[str, float]:
    """CPU milliseconds of a frame in each way, some frames in turn, and ratios."""
    ways = ("plain", *backends)
    context = processes()
    with ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, context, begin, (arch, way, frames, box))) for way in ways]
        turns = [[pool.submit(take, i).result() for pool in pools] for i in range(2, len(frames), RUN)]
    for (_, plain), *others in turns:
        for _, ours in others:
            np.testing.assert_allclose(ours, plain, atol=0.05)
    times = np.array([[ms for ms, _ in turn] for turn in turns])
    figures = {f"tracker_{arch}_plain_ms": float(np.median(times[:, 0]))}
    for way, column in zip(backends, times[:, 1:].T, strict=True):
        suffix = "" if way == "auto" else f"_{way}"
        ratio, ms = float(np.median(times[:, 0] / column)), float(np.median(column))
        figures |= {f"tracker_{arch}{suffix}": ratio, f"tracker_{arch}{suffix}_ms": ms}
        print(f"{arch}: plain {figures[f'tracker_{arch}_plain_ms']:.0f} ms, {way} {ms:.0f} ms a frame {ratio:6.2f} x")
    return figures


def bench_lockstep(arch: str, clips: list[list[np.ndarray]], boxes: np.ndarray, turns: int) -> dict[str, float]:
    """Seconds for a frame of each of several videos, one by one and in one pass."""
    torch.set_num_threads(2)
    single, lockstep = (WAYS[arch][0](with_backend(build(arch).student)) for _ in range(2))
    together = lockstep.start([clip[0] for clip in clips], boxes)
    alone = [single.start([clip[0]], box[None]) for clip, box in zip(clips, boxes, strict=True)]
    second = [clip[1] for clip in clips]
    lockstep.step(together, second)  # compiles the graph of this batch
    single.step(alone[0], second[:1])

    def one_by_one() -> None:
        for state, frame in zip(alone, second, strict=True):
            single.step(state, [frame])

    turns_taken = [(timed(one_by_one), timed(lambda: lockstep.step(together, second))) for _ in range(turns)]
    wall = median(a[1] / b[1] for a, b in turns_taken)
    cpu = median(a[0] / b[0] for a, b in turns_taken)
    print(f"{arch}: {len(clips)} videos in lock-step {wall:6.2f} x (wall), {cpu:.2f} x (CPU)")
    return {f"lockstep_{arch}": wall, f"lockstep_{arch}_cpu": cpu}


def installed(backend: str) -> bool:
    try:
        return choose_backend(backend, torch.device("cpu")) == backend
    except SpotError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="three frames, three videos and one turn of lock-step; backend=auto alone"
    )
    parser.add_argument("--arch", default="transt,ocean", help="which architectures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    archs = options.arch.split(",")
    best = choose_backend("auto", torch.device("cpu"))
    usable = ("auto", *({"torch", *(name for name in NEEDED if installed(name))} - {best}))
    with tempfile.TemporaryDirectory() as folder:
        clips, boxes = videos(Path(folder), 2 + RUN if options.quick else 2 + 6 * RUN)
    streams, turns = (3, 1) if options.quick else (STREAMS, 5)
    for arch in archs:
        figures |= bench_single(arch, clips[0], boxes[0], ("auto",) if options.quick else usable)
        figures |= isolated(bench_lockstep, arch, [clip[:2] for clip in clips[:streams]], boxes[:streams], turns)
    figures["lockstep"] = max(figures[f"lockstep_{arch}"] for arch in archs)
    if options.json:
        options.json.write_text(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
