"""Training beside other programs: samples per second with a busy neighbour on each core, as a fraction of the idle speed.

    python scripts/bench/bench_neighbours.py [--json FILE]

Trains a small network twice with the users' command, alone and beside processes that only compute. The
goal is 0.3; a fair scheduler gives 0.5 to a program that uses every core. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from spot.runtime.cpu import count_cores

OPTIONS = ("experiment=smoke", "training.epochs=2", "training.steps=15", "trainer.accelerator=cpu", "loader.workers=1")


def samples_per_second(outputs: Path, run: str) -> float:
    """Train two epochs; the speed of the last one, a sparse one."""
    command = [sys.executable, "-m", "spot.train", *OPTIONS, f"run={run}", f"paths.outputs={outputs}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with (outputs / run / "metrics.csv").open() as file:
        return float(list(csv.DictReader(file))[-1]["speed/samples_per_second"])


def compute_for_ever() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(100_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()
    neighbours = [multiprocessing.Process(target=compute_for_ever, daemon=True) for _ in range(count_cores())]
    with tempfile.TemporaryDirectory() as folder:
        idle = samples_per_second(Path(folder), "idle")
        for neighbour in neighbours:
            neighbour.start()
        busy = samples_per_second(Path(folder), "busy")
    for neighbour in neighbours:
        neighbour.kill()
    figures = {"idle": idle, "busy": busy, "busy_fraction": busy / idle, "neighbours": len(neighbours)}
    print(
        f"alone {idle:.1f} samples/s, beside {len(neighbours)} busy processes {busy:.1f}: {busy / idle:.2f} of the speed"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
