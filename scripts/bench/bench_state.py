"""What the sampler state costs beside a plain one as published: opening, merging, memory of a worker, drawing, checking.

    python scripts/bench/bench_state.py [--quick] [--json FILE]

Both run here, on the same content, one after the other, at the size of the published recipe (9 M frames). `--quick`
takes 300,000 frames. The full run needs 6 GB of memory, 4 GB of disk and minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import plain_state

from spot.state.store import PseudoLabels, StateStore
from spot.supervision.exploration import Exploration

RESULTS = 32_000  # of an epoch: 1,000 steps of 24 unlabelled instances, rounded up
EXPLORED = 0.95
EXPLORE = Exploration()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller state; ends within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), large_lengths(np.full(1120, 2506), 300_000 if options.quick else 9_000_000))
    for key, value in figures.items():
        print(f"{key:28}{value:>14,.4g}")
    if options.json:
        options.json.write_text(json.dumps({"quick": options.quick, **figures}, indent=1) + "\n")


def measure(folder: Path, lengths: np.ndarray) -> dict[str, float]:
    """Seconds of CPU, bytes and microseconds, ours and plain, and their ratios."""
    state, file = folder / "state", folder / "state.json"
    make_state(state, lengths)
    isolated(write_plain, state, file)
    figures: dict[str, float] = {"videos": len(lengths), "frames": int(lengths.sum())}
    figures |= {f"ours_{k}": v for k, v in isolated(commit_ours, state, lengths).items()}
    figures |= {f"plain_{k}": v for k, v in isolated(commit_plain, file, lengths).items()}
    figures |= {f"ours_{k}": v for k, v in isolated(worker_ours, state).items()}
    figures |= {f"plain_{k}": v for k, v in isolated(worker_plain, file).items()}
    figures |= isolated(draws, folder / "draws")
    figures["ours_verify_s"] = isolated(verify, state)
    for ratio, key in (("open_commit", "open_commit_cpu_s"), ("memory", "private_mb"), ("draw", "draw_us")):
        figures[f"{ratio}_ratio"] = figures[f"plain_{key}"] / figures[f"ours_{key}"]
    return figures


def make_state(folder: Path, lengths: np.ndarray, explored: float | np.ndarray = EXPLORED) -> StateStore:
    """Return a state with three key frames a video and the given fraction of the other frames explored, scattered."""
    rng = np.random.default_rng(0)
    keys = [np.unique([n // 6, n // 2, 5 * n // 6]) for n in lengths.tolist()]
    target = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.arange(len(target)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = np.flatnonzero(rng.random(len(target)) < np.broadcast_to(explored, len(lengths))[target])
    labels = PseudoLabels(target[rows], frame[rows], boxes(rng, len(rows)), confidences(rng, len(rows)))
    names = [(video_name(i), 0) for i in range(len(lengths))]
    return StateStore.create(folder, names, lengths, keys, [boxes(rng, len(k)) for k in keys], labels)


def video_name(index: int) -> str:
    return f"TrackingNet_00_video_{index:06d}"


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(10, 600, (count, 4)).astype(np.float32)


def confidences(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(0.82, 1, count).astype(np.float32)


def epoch_results(lengths: np.ndarray, epoch: int) -> PseudoLabels:
    rng = np.random.default_rng(epoch)
    target = rng.integers(0, len(lengths), RESULTS)
    frame = (rng.random(RESULTS) * lengths[target]).astype(np.int64)
    return PseudoLabels(target, frame, boxes(rng, RESULTS), confidences(rng, RESULTS))


def plain_target(state: Any, index: int) -> dict[str, list]:
    target = state.target(index)
    return {
        "key_frame_ids": target.key_ids.tolist(),
        "relay_frame_ids": target.ids.tolist(),
        "bboxes": target.boxes.astype(np.float64).round(1).tolist(),
        "confidence": target.confidences.astype(np.float64).round(4).tolist(),
    }


def write_plain(folder: Path, file: Path) -> None:
    state = StateStore.open(folder).at(0)
    plain_state.dump({state.names[i][0]: [plain_target(state, i)] for i in range(len(state))}, file)


def commit_ours(folder: Path, lengths: np.ndarray) -> dict[str, float]:
    """Opening and committing an epoch, the medians of five: ours are too short for one to be representative."""
    epochs = []
    for epoch in range(1, 6):
        results = epoch_results(lengths, epoch)
        wall, cpu = time.perf_counter(), time.process_time()
        StateStore.open(folder).commit(results, epoch)
        epochs.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = zip(*epochs, strict=True)
    return {"open_commit_s": median(walls), "open_commit_cpu_s": median(cpus)}


def commit_plain(file: Path, lengths: np.ndarray) -> dict[str, float]:
    results = epoch_results(lengths, 1)
    rows = zip(
        map(video_name, results.target_index.tolist()),
        [0] * RESULTS,
        results.frame.tolist(),
        results.box.tolist(),
        results.confidence.astype(np.float64).round(4).tolist(),
        strict=True,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    state = plain_state.load(file)
    plain_state.merge(state, rows)
    plain_state.dump(state, file)
    return {"open_commit_s": time.perf_counter() - wall, "open_commit_cpu_s": time.process_time() - cpu}


def worker_ours(folder: Path) -> dict[str, float]:
    """Own memory of a loader worker that opens the state and draws its part of an epoch of 24,000, with 8 workers."""
    before = private_memory()
    state = StateStore.open(folder).at(5)
    rng = np.random.default_rng(0)
    for index in rng.integers(0, len(state), 3000).tolist():
        draw_ours(state, index, rng)
    return {"private_mb": max(private_memory() - before, 0.01)}


def worker_plain(file: Path) -> dict[str, float]:
    before = private_memory()
    state = plain_state.load(file)
    return {"private_mb": private_memory() - before, "sequences": len(state)}


def private_memory() -> float:
    """Megabytes that belong to this process alone (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Anonymous:"))


def draws(folder: Path) -> dict[str, float]:
    """Microseconds of a frame, a relay frame and both coarse boxes, in a video of 2,500 frames, half of them explored."""
    state = make_state(folder, np.array([2500]), 0.5).at(0)
    rng, target = np.random.default_rng(0), plain_target(state, 0)
    random.seed(0)
    return {
        "ours_draw_us": timed(lambda: draw_ours(state, 0, rng), 3000),
        "plain_draw_us": timed(lambda: plain_state.draw(target, 2500), 100),
    }


def draw_ours(state: Any, index: int, rng: np.random.Generator) -> None:
    EXPLORE(state.target(index), rng)


def timed(call: Callable[[], object], count: int) -> float:
    """Return the mean microseconds of CPU time of a call, the least of three loops."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(count):
            call()
        best = min(best, time.process_time() - start)
    return best / count * 1e6


def verify(folder: Path) -> float:
    """Seconds that going back to the newest version takes, which reads and checks every byte of it."""
    store = StateStore.open(folder)
    state = store.at(float("inf"))
    begun = time.perf_counter()
    store.rollback(state.version, state.digest)
    return time.perf_counter() - begun


def isolated(function: Callable, *arguments: Any) -> Any:
    """Run in a fresh process, so that what one measurement leaves in memory does not touch the next."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def large_lengths(lasot: np.ndarray, frames: int) -> np.ndarray:
    """Lengths as in the published recipe of 9 M frames: LaSOT, then GOT-10k (149 on average) and TrackingNet (471)."""
    scale = frames / 9_000_000
    rng = np.random.default_rng(3)
    got10k = rng.integers(100, 199, int(9335 * scale))
    rest = frames - int(2_807_000 * scale) - got10k.sum()
    trackingnet = rng.integers(400, 543, int(rest / 471))
    return np.concatenate([lasot[: int(1120 * scale)], got10k, trackingnet])


if __name__ == "__main__":
    main()
