"""How fast evaluation is, beside a plain implementation in the manner of the toolkits.

    python scripts/bench/bench_evaluation.py [--quick] [--json FILE]

Both evaluate the same LaSOT-like videos (280 x 2,500 frames, a tenth of the frames without target) and trackers, with
all measures of one-pass evaluation: success, precision, normalised precision, average overlap, success rates and
their curve, per video and overall. The plain one goes video by video and threshold by threshold, once for each measure, as pysot's
OPEBenchmark and GOT-10k's experiments do; from files it reads lines and splits them, once for each measure, as pysot
does. It is checked against ours (and ours against the toolkits' own output in tests/parity). Best of several runs, taken
in turn. On one core CPU time is compared, on all cores (how `spot.evaluate` works) the wall clock.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.parallel import fork_map
from spot.evaluation.protocols import get_protocol
from spot.evaluation.scoring import score
from spot.results.loading import ResultFiles, read_boxes

Curves = dict[str, np.ndarray]
Result = TypeVar("Result")


def make_videos(videos: int, frames: int, rng: np.random.Generator) -> GroundTruth:
    """Boxes that wander, with whole pixels as LaSOT's are; a tenth of the frames without target."""
    n = videos * frames
    steps = rng.normal(0, 2, (videos, frames, 4)) * [1, 1, 0.3, 0.3]
    boxes = np.cumsum(steps, axis=1) + rng.uniform([200, 100, 40, 40], [900, 500, 200, 200], (videos, 1, 4))
    boxes[..., 2:] = np.abs(boxes[..., 2:]) + 8
    visible = np.repeat(rng.random((videos, frames // 50 + 1)) > 0.1, 50, axis=1)[:, :frames]
    visible[:, 0] = True
    boxes[~visible] = 0
    return GroundTruth(
        "LaSOT",
        tuple(f"video-{v}" for v in range(videos)),
        np.arange(videos + 1) * frames,
        np.asfortranarray(np.rint(boxes).reshape(n, 4)),
        visible.reshape(n),
    )


def make_tracker(truth: GroundTruth, rng: np.random.Generator) -> np.ndarray:
    """Boxes near the truth, drifting off in a third of the frames; two decimals, as result files have."""
    n = len(truth.boxes)
    drift = np.repeat(rng.normal(0, 1, n // 100 + 1), 100)[:n, None] * rng.uniform(0, 60)
    noise = rng.normal(0, 3, (n, 4)) + np.where(np.abs(drift) > 30, drift * [2, 1.5, 0.1, 0.1], 0)
    boxes = truth.boxes + noise
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
    boxes[truth.offsets[:-1]] = truth.boxes[truth.offsets[:-1]]
    return np.asfortranarray(np.round(boxes, 2))


# The plain implementation.


def plain_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left = np.maximum(a[:, 0], b[:, 0])
    right = np.minimum(a[:, 0] + a[:, 2], b[:, 0] + b[:, 2])
    top = np.maximum(a[:, 1], b[:, 1])
    bottom = np.minimum(a[:, 1] + a[:, 3], b[:, 1] + b[:, 3])
    shared = np.maximum(0, right - left) * np.maximum(0, bottom - top)
    union = a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - shared
    return np.maximum(np.minimum(1, shared / union), 0)


def plain_success(truth: np.ndarray, boxes: np.ndarray, frames: int) -> np.ndarray:
    thresholds = np.arange(0, 1.05, 0.05)
    success = np.zeros(len(thresholds))
    values = np.ones(len(truth)) * -1
    usable = np.sum(truth[:, 2:] > 0, axis=1) == 2
    values[usable] = plain_overlap(truth[usable], boxes[usable])
    for i in range(len(thresholds)):
        success[i] = np.sum(values > thresholds[i]) / float(frames)
    return success


def plain_hits(truth: np.ndarray, boxes: np.ndarray, thresholds: np.ndarray, frames: int) -> np.ndarray:
    hits = np.zeros(len(thresholds))
    values = np.ones(len(truth)) * -1
    usable = np.sum(truth > 0, axis=1) == 2
    values[usable] = np.sqrt(np.sum(np.power(truth[usable] - boxes[usable], 2), axis=1))
    for i in range(len(thresholds)):
        hits[i] = np.sum(values <= thresholds[i]) / float(frames)
    return hits


def plain_centers(boxes: np.ndarray) -> np.ndarray:
    return np.array([boxes[:, 0] + (boxes[:, 2] - 1) / 2, boxes[:, 1] + (boxes[:, 3] - 1) / 2]).T


Videos = list[tuple[np.ndarray, np.ndarray]]
Reader = Callable[[int], np.ndarray]


def plain_measures(videos: Videos, read: Reader) -> Curves:
    """One tracker. `videos` are (boxes, visible) of each video, `read(v)` its predicted boxes."""
    curves: dict[str, list] = {"success": [], "precision": [], "normalized_precision": [], "ao": [], "overlap": []}
    for v, (truth, visible) in enumerate(videos):
        boxes = read(v)
        curves["success"].append(plain_success(truth[visible], boxes[visible], len(truth)))
    for v, (truth, visible) in enumerate(videos):
        boxes = read(v)
        centers = plain_centers(truth[visible]), plain_centers(boxes[visible])
        curves["precision"].append(plain_hits(*centers, np.arange(0, 51, 1), len(truth)))
    for v, (truth, visible) in enumerate(videos):
        boxes = read(v)
        sizes = truth[visible][:, 2:4] + 1e-16
        centers = plain_centers(truth[visible]) / sizes, plain_centers(boxes[visible]) / sizes
        curves["normalized_precision"].append(plain_hits(*centers, np.arange(0, 51, 1) / 100, len(truth)))
    for v, (truth, visible) in enumerate(videos):
        boxes = read(v)
        values = plain_overlap(boxes[1:], truth[1:])[visible[1:]]
        rates = np.mean(np.greater(values[:, None], np.linspace(0, 1, 101)[None, :]), axis=0)
        curves["ao"].append([np.mean(values), np.mean(values > 0.5), np.mean(values > 0.75)])
        curves["overlap"].append(rates * len(values))
    present = sum(visible[1:].sum() for _, visible in videos)
    curves["overlap"] = [np.sum(curves["overlap"], axis=0) / present]
    return {key: np.array(values) for key, values in curves.items()}


def plain_read(path: Path) -> np.ndarray:
    with open(path) as file:
        return np.array([list(map(float, line.strip().split(","))) for line in file.readlines()])


# Ours.


def our_measures(truth: GroundTruth, trackers: list[np.ndarray]) -> list[Curves]:
    results = []
    for scores in score(truth, trackers, get_protocol("pysot")):
        videos = scores.per_video()
        results.append(
            {
                "success": scores.success,
                "precision": scores.precision,
                "normalized_precision": scores.normalized_precision,
                "overlap": scores.overlap_curve[None],
                "ao": np.stack([videos["ao"], videos["sr50"], videos["sr75"]], axis=1),
            }
        )
    return results


def write_results(folder: Path, truth: GroundTruth, trackers: list[np.ndarray]) -> list[ResultFiles]:
    files = []
    for t, boxes in enumerate(trackers):
        place = folder / f"tracker{t}"
        place.mkdir(parents=True)
        for v, name in enumerate(truth.names):
            rows = boxes[truth.offsets[v] : truth.offsets[v + 1]]
            lines = [f"{x:.2f},{y:.2f},{w:.2f},{h:.2f}\n" for x, y, w, h in rows.tolist()]
            (place / f"{name}.txt").write_text("".join(lines))
        files.append(ResultFiles(place.name, place, {name: (place / f"{name}.txt",) for name in truth.names}))
    return files


class Clock:
    """Best wall and CPU seconds of repeated calls, each divided by the number of trackers in a call."""

    def __init__(self, trackers: int) -> None:
        self.trackers, self.wall, self.cpu = trackers, np.inf, np.inf

    def time(self, call: Callable[[], Result]) -> Result:
        wall, cpu = time.perf_counter(), time.process_time()
        outcome = call()
        self.cpu = min(self.cpu, (time.process_time() - cpu) / self.trackers)
        self.wall = min(self.wall, (time.perf_counter() - wall) / self.trackers)
        return outcome


def agree(ours: Sequence[Curves], plain: Sequence[Curves]) -> None:
    for mine, other in zip(ours, plain, strict=False):
        for key, values in other.items():
            np.testing.assert_allclose(mine[key], values, rtol=0, atol=1e-6, err_msg=key)


def on_all_cores(work: Callable[[list[int]], list[Curves]], trackers: int) -> list[Curves]:
    """As `spot.evaluate` shares out trackers: in one group a core, since a group shares the work on the truth."""
    cores = min(os.cpu_count() or 1, trackers)
    groups = [list(range(first, trackers, cores)) for first in range(cores)]
    parts = fork_map(work, groups)
    return [parts[t % cores][t // cores] for t in range(trackers)]


Clocks = dict[str, Clock]


def bench_memory(
    truth: GroundTruth, split: Videos, tables: list[np.ndarray], plain_trackers: int, repeats: int
) -> Clocks:
    parts = [[t[truth.rows(n)].copy("C") for n in truth.names] for t in tables[:plain_trackers]]
    clocks = {"plain": Clock(plain_trackers), "one core": Clock(len(tables)), "all cores": Clock(len(tables))}
    for _ in range(repeats):
        plain = clocks["plain"].time(lambda: [plain_measures(split, part.__getitem__) for part in parts])
        ours = clocks["one core"].time(lambda: our_measures(truth, tables))
        agree(ours, plain)
        ours = clocks["all cores"].time(
            lambda: on_all_cores(lambda group: our_measures(truth, [tables[t] for t in group]), len(tables))
        )
        agree(ours, plain)
    return clocks


def bench_disk(truth: GroundTruth, split: Videos, tables: list[np.ndarray], folder: Path, repeats: int) -> Clocks:
    files = write_results(folder / "results", truth, tables)
    paths = [files[0].boxes[name][0] for name in truth.names]
    cache = folder / "cache"

    def read(group: list[int], cache: Path | None = None) -> list[Curves]:
        return our_measures(truth, [read_boxes(files[t], truth, cache) for t in group])

    everything = list(range(len(files)))
    read(everything, cache)
    clocks = {
        "plain": Clock(1),
        "one core": Clock(len(files)),
        "all cores": Clock(len(files)),
        "cached": Clock(len(files)),
    }
    for _ in range(repeats):
        plain = clocks["plain"].time(lambda: [plain_measures(split, lambda v: plain_read(paths[v]))])
        agree(clocks["one core"].time(lambda: read(everything)), plain)
        agree(clocks["all cores"].time(lambda: on_all_cores(read, len(files))), plain)
        agree(clocks["cached"].time(lambda: read(everything, cache)), plain)
    return clocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer repeats")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = make_videos(280, 2500, rng)
    tables = [make_tracker(truth, rng) for _ in range(10)]
    split = [(truth.boxes[truth.rows(n)].copy("C"), truth.visible[truth.rows(n)]) for n in truth.names]
    memory = bench_memory(truth, split, tables, 1 if arguments.quick else 3, 8)
    with tempfile.TemporaryDirectory() as folder:
        on_disk = tables[:4] if arguments.quick else tables
        disk = bench_disk(truth, split, on_disk, Path(folder), 1 if arguments.quick else 3)
    figures: dict[str, float] = {"videos": 280, "frames": 2500, "trackers": 10, "cores": os.cpu_count() or 1}
    print("280 videos x 2,500 frames, 10 trackers; milliseconds a tracker")
    for title, clocks in (("memory", memory), ("disk", disk)):
        plain = clocks["plain"]
        print(f"  from {title}: plain {1000 * plain.wall:.0f}")
        for name, clock in clocks.items():
            # On all cores the work is done in other processes, so only the wall clock tells.
            ratio = plain.cpu / clock.cpu if name in ("one core", "cached") else plain.wall / clock.wall
            key = f"{title}_{name.replace(' ', '_')}"
            figures[f"{key}_ms"] = 1000 * clock.wall
            if name != "plain":
                figures[f"{key}_speedup"] = ratio
                print(f"    ours, {name:9}  {1000 * clock.wall:7.1f}   {ratio:6.1f} x")
        figures[f"{title}_speedup"] = max(figures[f"{title}_one_core_speedup"], figures[f"{title}_all_cores_speedup"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
