"""What the sampler state costs beside a plain one as published: opening, drawing, committing, bytes, memory per worker.

    python scripts/bench/bench_state.py [--quick] [--json FILE]

Both run here, on the same content, one after the other. `--quick` takes a smaller state and says its size. Lengths are
those of LaSOT where SPOT_SHARED holds its annotations. The full run needs 6 GB of memory, 4 GB of disk and minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tarfile
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
SHARED = Path(os.environ.get("SPOT_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller states; ends within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()

    figures: dict[str, Any] = {"quick": options.quick, "plain_intervals": "py-part" if plain_state.part else "own"}
    with tempfile.TemporaryDirectory() as folder:
        figures |= bench_draws(Path(folder))
        lasot = lasot_lengths(40 if options.quick else 1120)
        sizes = {"lasot": lasot, "large": large_lengths(lasot, 300_000 if options.quick else 9_000_000)}
        for name, lengths in sizes.items():
            figures |= bench_state(Path(folder) / name, name, lengths)
    figures |= {f"{k}_ratio": figures[f"large_{k}_ratio"] for k in ("open_commit", "memory")}
    print_tables(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def bench_state(folder: Path, name: str, lengths: np.ndarray) -> dict[str, Any]:
    """Opening, committing, bytes and memory of one state, ours and plain."""
    folder.mkdir()
    make_state(folder / "state", lengths)
    file = folder / "state.json"
    frames = isolated(write_plain, folder / "state", file)
    row: dict[str, Any] = {"videos": len(lengths), "frames": int(lengths.sum()), "explored": frames}
    row |= {f"ours_{k}": v for k, v in isolated(commit_ours, folder / "state", lengths).items()}
    row |= {f"plain_{k}": v for k, v in isolated(commit_plain, file, lengths).items()}
    row["plain_bytes"] = file.stat().st_size
    row["ours_bytes"] = version_bytes(folder / "state")
    row["ours_bytes_per_frame"] = row["ours_bytes"] / row["frames"]
    for ratio, clock in (("open_commit", "_cpu"), ("open_commit_wall", "")):
        plain = row[f"plain_open{clock}_s"] + row[f"plain_commit{clock}_s"]
        row[f"{ratio}_ratio"] = plain / (row[f"ours_open{clock}_s"] + row[f"ours_commit{clock}_s"])
    row |= {f"ours_{k}": v for k, v in isolated(worker_ours, folder / "state").items()}
    row |= {f"plain_{k}": v for k, v in isolated(worker_plain, file).items()}
    row["memory_ratio"] = row["plain_private_mb"] / row["ours_private_mb"]
    row["memory_resident_ratio"] = row["plain_resident_mb"] / row["ours_resident_mb"]
    return {f"{name}_{k}": v for k, v in row.items()}


def bench_draws(folder: Path) -> dict[str, Any]:
    """A frame, a relay frame and the coarse boxes of both: microseconds by length and share explored."""
    shares = (0.01, 0.5, 0.99)
    lengths = np.array([length for length in (100, 2_500, 100_000) for _ in shares])
    state = make_state(folder / "draws", lengths, np.tile(shares, 3)).at(0)
    rng = np.random.default_rng(0)
    figures: dict[str, Any] = {}
    for p, length in enumerate(lengths.tolist()):
        where = f"{length}_frames_{shares[p % 3] * 100:g}_percent"
        ours = timed(lambda p=p: draw_ours(state, p, rng), 3000)
        figures[f"draw_ours_us_{where}"] = ours
        if length == 2_500:
            path = plain_path(state, p)
            random.seed(0)
            plain = timed(lambda path=path, n=length: plain_state.draw(path, n), 100)
            figures |= {f"draw_plain_us_{where}": plain, f"draw_ratio_{where}": plain / ours}
    return figures | {"draw_ratio": figures["draw_ratio_2500_frames_50_percent"]}


EXPLORE = Exploration()


def draw_ours(state: Any, p: int, rng: np.random.Generator) -> None:
    EXPLORE(state.target(p), rng)


def timed(call: Callable[[], object], count: int) -> float:
    """Mean microseconds of CPU time of a call, the least of three loops."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(count):
            call()
        best = min(best, time.process_time() - start)
    return best / count * 1e6


def make_state(folder: Path, lengths: np.ndarray, share: float | np.ndarray = EXPLORED) -> StateStore:
    """A state with three key frames a video and the given share of the other frames explored, scattered."""
    rng = np.random.default_rng(0)
    keys = [np.unique([n // 6, n // 2, 5 * n // 6]) for n in lengths.tolist()]
    path = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.arange(len(path)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = np.flatnonzero(rng.random(len(path)) < np.broadcast_to(share, len(lengths))[path])
    names = [(f"TrackingNet_00_video_{i:06d}", 0) for i in range(len(lengths))]
    return StateStore.create(
        folder,
        names,
        lengths,
        keys,
        [boxes(rng, len(k)) for k in keys],
        PseudoLabels(path[rows], frame[rows], boxes(rng, len(rows)), confidences(rng, len(rows))),
    )


def epoch_results(lengths: np.ndarray, epoch: int) -> PseudoLabels:
    rng = np.random.default_rng(epoch)
    path = rng.integers(0, len(lengths), RESULTS)
    frame = (rng.random(RESULTS) * lengths[path]).astype(np.int64)
    return PseudoLabels(path, frame, boxes(rng, RESULTS), confidences(rng, RESULTS))


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(10, 600, (count, 4)).astype(np.float32)


def confidences(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(0.82, 1, count).astype(np.float32)


def plain_path(state: Any, p: int) -> dict[str, list]:
    path = state.target(p)
    return {
        "key_frame_ids": path.key_ids.tolist(),
        "relay_frame_ids": path.ids.tolist(),
        "bboxes": path.boxes.astype(np.float64).round(1).tolist(),
        "confidence": path.confidences.astype(np.float64).round(4).tolist(),
    }


def write_plain(folder: Path, file: Path) -> int:
    state = StateStore.open(folder).at(0)
    plain_state.dump({state.names[p][0]: [plain_path(state, p)] for p in range(len(state))}, file)
    return int(state.explored_counts.sum())


def commit_ours(folder: Path, lengths: np.ndarray) -> dict[str, float]:
    """The medians of five epochs: ours are too short for one to be representative."""
    epochs = []
    for epoch in range(1, 6):
        results = epoch_results(lengths, epoch)
        clock = Clock()
        store = StateStore.open(folder)
        store.at(epoch)
        opened = clock.lap("open")
        store.commit(results, epoch)
        epochs.append(opened | clock.lap("commit"))
    return {key: median(seconds[key] for seconds in epochs) for key in epochs[0]}


def commit_plain(file: Path, lengths: np.ndarray) -> dict[str, float]:
    results = epoch_results(lengths, 1)
    rows = zip(
        (f"TrackingNet_00_video_{p:06d}" for p in results.target_index.tolist()),
        [0] * RESULTS,
        results.frame.tolist(),
        results.box.tolist(),
        results.confidence.astype(np.float64).round(4).tolist(),
        strict=True,
    )
    clock = Clock()
    state = plain_state.load(file)
    opened = clock.lap("open")
    plain_state.merge(state, rows)
    plain_state.dump(state, file)
    return opened | clock.lap("commit")


def worker_ours(folder: Path) -> dict[str, float]:
    """Memory of a loader worker that opens the state and draws its share of an epoch of 24,000, with 8 workers."""
    before = memory()
    state = StateStore.open(folder).at(5)
    rng = np.random.default_rng(0)
    for p in rng.integers(0, len(state), 3000).tolist():
        draw_ours(state, p, rng)
    return grown(before)


def worker_plain(file: Path) -> dict[str, float]:
    before = memory()
    state = plain_state.load(file)
    return grown(before) | {"sequences": len(state)}


def memory() -> dict[str, float]:
    """Megabytes of this process: its own, and resident in all, with the pages of mapped files that processes share."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) / 1024 for name, size in (line.split(":") for line in lines)}
    return {"private_mb": sizes["Anonymous"], "resident_mb": sizes["Rss"]}


def grown(before: dict[str, float]) -> dict[str, float]:
    return {k: max(after - before[k], 0.01) for k, after in memory().items()}


class Clock:
    """Wall and CPU seconds between laps."""

    def __init__(self) -> None:
        self.last = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> dict[str, float]:
        now = time.perf_counter(), time.process_time()
        wall, cpu = now[0] - self.last[0], now[1] - self.last[1]
        self.last = now
        return {f"{name}_s": wall, f"{name}_cpu_s": cpu}


def isolated(function: Callable, *arguments: Any) -> Any:
    """Run in a fresh process, so that what one measurement leaves in memory does not touch the next."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def version_bytes(folder: Path) -> int:
    """Bytes of the newest version and of all that it needs; the others go."""
    StateStore.open(folder).prune()
    return sum(file.stat().st_size for file in folder.iterdir())


def lasot_lengths(count: int) -> np.ndarray:
    """Frames of the first `count` LaSOT sequences of its annotation archive, or of as many made-up ones."""
    archive = SHARED / "data" / "lasot_annotations.tar.xz"
    if not archive.exists():
        return np.random.default_rng(2).integers(1000, 4012, count)
    lengths: list[int] = []
    with tarfile.open(archive) as files:
        for member in files:
            if member.name.endswith("groundtruth.txt") and len(lengths) < count:
                opened = files.extractfile(member)
                assert opened is not None
                lengths.append(len(opened.read().split()))
    return np.array(lengths)


def large_lengths(lasot: np.ndarray, frames: int) -> np.ndarray:
    """LaSOT's share of the published recipe's 9 M frames, then GOT-10k (149 on average) and TrackingNet (471)."""
    scale = frames / 9_000_000
    rng = np.random.default_rng(3)
    got10k = rng.integers(100, 199, int(9335 * scale))
    rest = frames - int(2_807_000 * scale) - got10k.sum()
    trackingnet = rng.integers(400, 543, int(rest / 471))
    return np.concatenate([lasot[: int(1120 * scale)], got10k, trackingnet])


def print_tables(figures: dict[str, Any]) -> None:
    print(f"{'state':58}{'plain':>12}{'ours':>12}{'ratio':>10}")
    for name in ("lasot", "large"):
        f = {k.removeprefix(f"{name}_"): v for k, v in figures.items() if k.startswith(name)}
        print(f"{f['videos']:,} videos, {f['frames']:,} frames, {f['explored']:,} explored")
        rows = [
            (f"{what}, {clock} seconds", f"{key}{'_cpu' * (clock == 'CPU')}_s")
            for what, key in (("open", "open"), (f"commit {RESULTS:,} results", "commit"))
            for clock in ("wall", "CPU")
        ]
        rows += [
            ("bytes", "bytes"),
            ("own memory of a worker, MB", "private_mb"),
            ("resident memory of a worker, MB", "resident_mb"),
        ]
        for title, key in rows:
            line(title, f[f"plain_{key}"], f[f"ours_{key}"])
        print(
            f"  open + commit: {f['open_commit_ratio']:.0f} times less CPU, {f['open_commit_wall_ratio']:.0f} times less wall"
        )
        print(f"  (ours waits for the disk, plain does not); {f['ours_bytes_per_frame']:.1f} bytes a frame")
    print(f"draw with coarse boxes, CPU microseconds; plain interval sets: {figures['plain_intervals']}")
    for key in (k for k in figures if k.startswith("draw_ours_us_")):
        where = key.removeprefix("draw_ours_us_")
        line(where.replace("_", " "), figures.get(f"draw_plain_us_{where}"), figures[key])


def line(title: str, plain: float | None, ours: float) -> None:
    numbers = [f"{plain:12,.4g}", f"{ours:12,.4g}", f"{plain / ours:10,.0f}"] if plain else [" " * 12, f"{ours:12,.4g}"]
    print(f"  {title:56}{''.join(numbers)}")


if __name__ == "__main__":
    main()
