"""How soon commands and large data sets are there: CPU seconds, warm, medians.

python scripts/bench/bench_startup.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from spot.data.annotation_cache import CacheEntry, Source, save
from spot.data.folders import stamp
from spot.data.video import Frames


def command_seconds(module: str, repeats: int) -> float:
    """CPU seconds of `python -m MODULE --help`; the first run warms the caches."""
    seconds = []
    for _ in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", module, "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(seconds[1:])


def write_entry(place: Path, videos: int) -> None:
    """Cache the annotation of so many videos of 3 frames; their files are missing, which costs most to look for."""
    files = [str(place / f"{i}.txt") for i in range(videos)]
    frames = [Frames(f"/data/frames/v{i}", 3, "{}.jpg", 0) for i in range(videos)]
    sources = [Source(f"TrackingNet_00_v{i}", frames[i], (files[i],)) for i in range(videos)]
    rows = np.zeros((3 * videos, 4), np.float32), np.ones(3 * videos, bool)
    save(place, sources, {file: stamp(file) for file in files}, *rows)


def opening_seconds(place: Path, videos: int) -> float:
    """CPU seconds until the last of the cached videos is at hand, with a look at every file's date."""
    start = time.process_time()
    entry = CacheEntry.find(place)
    assert entry is not None
    assert entry.is_fresh()
    assert entry.videos("TrackingNet", "all")[videos - 1].boxes.shape == (3, 4)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()
    repeats = 1 if options.quick else 5
    figures = {
        "train_help_s": command_seconds("spot.train", repeats),
        "evaluate_help_s": command_seconds("spot.evaluate", repeats),
    }
    with tempfile.TemporaryDirectory() as folder:
        write_entry(Path(folder), 30_000)
        figures["open_30000_s"] = median(opening_seconds(Path(folder), 30_000) for _ in range(repeats))
    for name, value in figures.items():
        print(f"{name}: {value:.2f}")
    if options.json:
        options.json.write_text(json.dumps({key: round(value, 3) for key, value in figures.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
