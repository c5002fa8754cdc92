"""How fast evaluation is, beside a plain implementation in the manner of the toolkits.

    python scripts/bench_evaluation.py [--quick] [--json FILE]

Both evaluate the same LaSOT-like videos (280 x 2,500 frames, a tenth of the frames without target) and trackers, with
all measures of one-pass evaluation: success, precision, normalised precision, average overlap and success rates, per
video and overall. The plain one goes video by video and threshold by threshold, once for each measure, as pysot's
OPEBenchmark and GOT-10k's experiments do; from files it reads lines and splits them, once for each measure, as pysot
does. It is checked against ours (and ours against the toolkits' own output in tests/parity). CPU time of this process,
best of several runs taken in turn, so that other work on the machine hits both alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from spot.evaluation.loading import ResultFiles, read_boxes
from spot.evaluation.protocols import get_protocol
from spot.evaluation.scoring import score
from spot.evaluation.truth import Truth

Curves = dict[str, np.ndarray]
Result = TypeVar("Result")


def make_videos(videos: int, frames: int, rng: np.random.Generator) -> Truth:
    """Boxes that wander, with whole pixels as LaSOT's are; a tenth of the frames without target."""
    n = videos * frames
    steps = rng.normal(0, 2, (videos, frames, 4)) * [1, 1, 0.3, 0.3]
    boxes = np.cumsum(steps, axis=1) + rng.uniform([200, 100, 40, 40], [900, 500, 200, 200], (videos, 1, 4))
    boxes[..., 2:] = np.abs(boxes[..., 2:]) + 8
    visible = np.repeat(rng.random((videos, frames // 50 + 1)) > 0.1, 50, axis=1)[:, :frames]
    visible[:, 0] = True
    boxes[~visible] = 0
    return Truth(
        "LaSOT",
        tuple(f"video-{v}" for v in range(videos)),
        np.arange(videos + 1) * frames,
        np.asfortranarray(np.rint(boxes).reshape(n, 4)),
        visible.reshape(n),
    )


def make_tracker(truth: Truth, rng: np.random.Generator) -> np.ndarray:
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
    curves: dict[str, list] = {"success": [], "precision": [], "normalized_precision": [], "ao": []}
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
        curves["ao"].append([np.mean(values), np.mean(values > 0.5), np.mean(values > 0.75)])
    return {key: np.array(values) for key, values in curves.items()}


def plain_read(path: Path) -> np.ndarray:
    with open(path) as file:
        return np.array([list(map(float, line.strip().split(","))) for line in file.readlines()])


# Ours.


def our_measures(truth: Truth, trackers: list[np.ndarray]) -> list[Curves]:
    results = []
    for scores in score(truth, trackers, get_protocol("pysot")):
        videos = scores.per_video()
        results.append(
            {
                "success": scores.success,
                "precision": scores.precision,
                "normalized_precision": scores.normalized_precision,
                "ao": np.stack([videos["ao"], videos["sr50"], videos["sr75"]], axis=1),
            }
        )
    return results


def write_results(folder: Path, truth: Truth, trackers: list[np.ndarray]) -> list[ResultFiles]:
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


def cpu_seconds(call: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds of this process, and what the call returned."""
    start = time.process_time()
    outcome = call()
    return time.process_time() - start, outcome


def agree(ours: Curves, plain: Curves) -> None:
    for key, values in plain.items():
        np.testing.assert_allclose(ours[key], values, rtol=0, atol=1e-6, err_msg=key)


def bench_memory(
    truth: Truth, split: Videos, tables: list[np.ndarray], plain_trackers: int, repeats: int
) -> list[float]:
    """Best CPU seconds a tracker: plain, ours."""
    parts = [[t[truth.rows(n)].copy("C") for n in truth.names] for t in tables[:plain_trackers]]
    best = [np.inf, np.inf]
    for _ in range(repeats):
        spent, plain = cpu_seconds(lambda: [plain_measures(split, part.__getitem__) for part in parts])
        best[0] = min(best[0], spent / plain_trackers)
        spent, ours = cpu_seconds(lambda: our_measures(truth, tables))
        best[1] = min(best[1], spent / len(tables))
    for mine, other in zip(ours, plain, strict=False):
        agree(mine, other)
    return best


def bench_disk(
    truth: Truth, split: Videos, tables: list[np.ndarray], folder: Path, plain_trackers: int, repeats: int
) -> list[float]:
    """Best CPU seconds a tracker: plain, ours, ours where all files were read before."""
    files = write_results(folder / "results", truth, tables)
    paths = [[one.boxes[name][0] for name in truth.names] for one in files[:plain_trackers]]
    readers = [lambda v, mine=mine: plain_read(mine[v]) for mine in paths]
    cache = folder / "cache"
    read_boxes(files, truth, cache)
    best = [np.inf, np.inf, np.inf]
    for _ in range(repeats):
        spent, plain = cpu_seconds(lambda: [plain_measures(split, reader) for reader in readers])
        best[0] = min(best[0], spent / plain_trackers)
        spent, ours = cpu_seconds(lambda: our_measures(truth, read_boxes(files, truth, workers=1)))
        best[1] = min(best[1], spent / len(tables))
        spent, _ = cpu_seconds(lambda: our_measures(truth, read_boxes(files, truth, cache)))
        best[2] = min(best[2], spent / len(tables))
    for mine, other in zip(ours, plain, strict=False):
        agree(mine, other)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer repeats")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    trackers, plain_trackers = 10, 1 if arguments.quick else 3
    rng = np.random.default_rng(0)
    truth = make_videos(280, 2500, rng)
    tables = [make_tracker(truth, rng) for _ in range(trackers)]
    split = [(truth.boxes[truth.rows(n)].copy("C"), truth.visible[truth.rows(n)]) for n in truth.names]
    plain, ours = bench_memory(truth, split, tables, plain_trackers, 5)
    with tempfile.TemporaryDirectory() as folder:
        on_disk = tables[:3] if arguments.quick else tables
        disk = bench_disk(truth, split, on_disk, Path(folder), 1, 1 if arguments.quick else 3)
    figures = {
        "videos": 280,
        "frames": 2500,
        "trackers": trackers,
        "plain_memory_ms": 1000 * plain,
        "our_memory_ms": 1000 * ours,
        "memory_speedup": plain / ours,
        "plain_disk_ms": 1000 * disk[0],
        "our_disk_ms": 1000 * disk[1],
        "disk_speedup": disk[0] / disk[1],
        "our_cached_ms": 1000 * disk[2],
        "cached_speedup": disk[0] / disk[2],
    }
    print(f"280 videos x 2,500 frames, {trackers} trackers; CPU milliseconds a tracker")
    for title, key in (("in memory", "memory"), ("from files", "disk"), ("files read before", "cached")):
        slow = figures["plain_memory_ms" if key == "memory" else "plain_disk_ms"]
        print(
            f"  {title:18} plain {slow:8.1f}   ours {figures[f'our_{key}_ms']:7.1f}   {figures[f'{key}_speedup']:6.1f} x"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
