"""How cost grows: one plot each for the state's size, videos, frames a video and workers.

    python scripts/bench/bench_growth.py [--quick] [--json FILE] [--plots FOLDER]

CPU time, or memory for workers, at sizes that grow by factors; the exponent of the power law through them says how: 1
is linear, 0 is flat. `--plots` writes growth_*.png.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from bench_startup import opening_seconds, write_entry
from bench_state import commit_ours, draw_ours, large_lengths, make_state, timed, worker_ours
from matplotlib.ticker import EngFormatter, NullLocator

Curve = tuple[str, str, Sequence[float], Sequence[float]]  # names of both axes, and the points


def by_state(folder: Path, quick: bool) -> Curve:
    """Opening the state and merging an epoch's 32,000 results."""
    sizes, seconds = [], []
    for frames in (100_000, 300_000, 1_000_000) if quick else (300_000, 1_000_000, 3_000_000, 9_000_000):
        lengths = large_lengths(np.full(1120, 2506), frames)
        (folder / str(frames)).mkdir()
        make_state(folder / str(frames) / "state", lengths)
        took = commit_ours(folder / str(frames) / "state", lengths)
        sizes.append(int(lengths.sum()))
        seconds.append(took["open_cpu_s"] + took["commit_cpu_s"])
    return "frames in the state", "CPU s an epoch's end", sizes, seconds


def by_videos(folder: Path, quick: bool) -> Curve:
    """Opening an annotated data set from its cache."""
    sizes = (1_000, 3_000, 10_000) if quick else (1_000, 3_000, 10_000, 30_000)
    seconds = []
    for videos in sizes:
        write_entry(folder / str(videos), videos)
        seconds.append(median(opening_seconds(folder / str(videos), videos) for _ in range(3)))
    return "videos", "CPU s to open", sizes, seconds


def by_frames(folder: Path, quick: bool) -> Curve:
    """Drawing a frame and a relay frame with their coarse boxes, half of the video explored."""
    sizes = np.array([100, 1_000, 10_000, 100_000])
    state = make_state(folder / "draws", sizes, 0.5).at(0)
    rng = np.random.default_rng(0)
    count = 300 if quick else 3_000
    return (
        "frames in the video",
        "CPU µs a draw",
        sizes.tolist(),
        [timed(lambda p=p: draw_ours(state, p, rng), count) for p in range(len(sizes))],
    )


def by_workers(folder: Path, quick: bool) -> Curve:
    """Private memory of all loader processes together: each opens the state and draws."""
    make_state(folder / "shared", np.full(2_000, 150 if quick else 1_500))
    counts = (1, 2) if quick else (1, 2, 4, 8)
    totals = []
    for count in counts:
        with ProcessPoolExecutor(count, get_context("spawn")) as pool:
            grown = [pool.submit(_worker, folder / "shared") for _ in range(count)]
            totals.append(sum(one.result() for one in grown))
    return "workers", "MB of their own, together", counts, totals


def _worker(folder: Path) -> float:
    megabytes = worker_ours(folder)["private_mb"]
    time.sleep(0.5)  # so that every process of the pool gets one
    return megabytes


CURVES: dict[str, Callable[[Path, bool], Curve]] = {
    "state": by_state,
    "videos": by_videos,
    "frames": by_frames,
    "workers": by_workers,
}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of the line through the points in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def plot(curve: Curve, slope: float, file: Path) -> None:
    across, up, sizes, costs = curve
    figure, axes = plt.subplots(figsize=(3.6, 2.6), dpi=90, layout="constrained")
    axes.loglog(sizes, costs, marker="o")
    axes.set(xlabel=across, ylabel=up, title=f"exponent {slope:.2f}")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(EngFormatter(places=0, sep=""))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(True, which="major", alpha=0.3)
    if max(costs) < 10 * min(costs):  # a flat curve should look flat
        middle = float(np.sqrt(max(costs) * min(costs)))
        axes.set_ylim(middle / 10, middle * 10)
    figure.savefig(file)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write exponents and points as one flat object")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write growth_*.png there")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    for name, measure in CURVES.items():
        with tempfile.TemporaryDirectory() as folder:
            curve = measure(Path(folder), options.quick)
        figures[f"growth_{name}"] = slope = exponent(*curve[2:])
        figures |= {f"growth_{name}_at_{size}": cost for size, cost in zip(*curve[2:], strict=True)}
        points = ", ".join(f"{cost:.3g} at {size:,}" for size, cost in zip(*curve[2:], strict=True))
        print(f"{name}: exponent {slope:.2f}; {curve[1]}: {points}", flush=True)
        if options.plots:
            plot(curve, slope, options.plots / f"growth_{name}.png")
    if options.json:
        options.json.write_text(json.dumps({key: round(value, 4) for key, value in figures.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
