"""Run all benchmarks and print their ratios as one table.

    python scripts/bench/run_all.py [--quick] [NAME ...]

Each script is a process of its own and writes `outputs/bench/NAME.json`; figures are medians over the repeats that it
takes. The whole table goes to `outputs/bench/table.json` and `outputs/bench/table.txt`. Names leave out the others,
whose last figures are shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

SCRIPTS = Path(__file__).parent
OUTPUT = SCRIPTS.parents[1] / "outputs" / "bench"
NAMES = ("data", "state", "step", "tracker", "startup", "growth")


class Row(NamedTuple):
    """A figure: its key in a script's JSON, what it says, its clock, and what it should be (">=" or "<=")."""

    key: str
    says: str
    clock: str
    goal: str


ROWS = {
    "data": [
        Row("labelled_fast", "labelled pairs from 720p, reduced decode", "CPU", ">= 7"),
        Row("labelled_exact", "labelled pairs from 720p, exact decode", "CPU", ">= 3.5"),
        Row("unlabelled_fast", "unlabelled instances from 720p, reduced decode", "CPU", ">= 6"),
        Row("unlabelled_exact", "unlabelled instances from 720p, exact decode", "CPU", ">= 3.5"),
        Row("augment_ms", "augmentation of a step by kornia, milliseconds", "CPU", ""),
    ],
    "state": [
        Row("open_commit_ratio", "opening the state and merging an epoch", "CPU", ">= 300"),
        Row("memory_ratio", "the state's own memory in a worker", "bytes", ">= 50"),
        Row("draw_ratio", "drawing an unlabelled frame", "CPU", ">= 10"),
    ],
    "step": [
        Row("step_transt_float32_cpu_s", "training step of TransT, seconds", "CPU", ""),
        Row("step_ocean_float32_cpu_s", "training step of Ocean, seconds", "CPU", ""),
        Row("step_transt_float32_peak_gb", "peak memory of TransT's step, GB", "bytes", ""),
        Row("step_ocean_float32_peak_gb", "peak memory of Ocean's step, GB", "bytes", ""),
        Row("ema", "the teacher's average", "CPU", ">= 5"),
    ],
    "tracker": [
        Row("tracker_transt", "TransT on one video", "CPU", ">= 2"),
        Row("tracker_ocean", "Ocean on one video", "CPU", ">= 1.5"),
        Row("tracker_transt_torch", "TransT on one video, backend=torch", "CPU", ""),
        Row("tracker_ocean_torch", "Ocean on one video, backend=torch", "CPU", ""),
        Row("tracker_transt_onnxruntime", "TransT on one video, backend=onnxruntime", "CPU", ""),
        Row("tracker_ocean_onnxruntime", "Ocean on one video, backend=onnxruntime", "CPU", ""),
        Row("lockstep_transt", "TransT, 8 videos in lock-step", "wall", ""),
        Row("lockstep_ocean", "Ocean, 8 videos in lock-step", "wall", ""),
    ],
    "startup": [
        Row("train_help_s", "spot.train --help, seconds", "CPU", "<= 3"),
        Row("evaluate_help_s", "spot.evaluate --help, seconds", "CPU", "<= 3"),
        Row("open_30000_s", "opening 30,000 videos again, seconds", "CPU", "<= 2"),
    ],
    "growth": [
        Row(f"growth_{name}", f"growth with {says}: exponent", "CPU", "<= 1.2")
        for name, says in (
            ("state", "the state's size"),
            ("videos", "the number of videos"),
            ("frames", "frames a video"),
            ("workers", "workers"),
        )
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], help="which benchmarks; all if none is named")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats throughout")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in options.names or NAMES:
        command = [sys.executable, str(SCRIPTS / f"bench_{name}.py"), "--json", str(OUTPUT / f"{name}.json")]
        subprocess.run([*command, *(["--quick"] if options.quick else [])], check=True)
    found = {name: json.loads(file.read_text()) for name in NAMES if (file := OUTPUT / f"{name}.json").is_file()}
    table = tabulate(found)
    Console().print(table)
    with open(OUTPUT / "table.txt", "w") as file:
        Console(file=file, width=110).print(table)
    (OUTPUT / "table.json").write_text(json.dumps(found, indent=1) + "\n")


def tabulate(found: dict[str, dict[str, float]]) -> Table:
    """Return the rows of all benchmarks that were run. Figures are speed-ups over the plain way unless the row says more."""
    table = Table("benchmark", "what", "clock", "figure", "goal", "reached")
    for name, figures in found.items():
        for row in ROWS[name]:
            if row.key in figures:
                value = float(figures[row.key])
                table.add_row(name, row.says, row.clock, f"{value:.2f}", row.goal, reached(value, row.goal))
    return table


def reached(value: float, goal: str) -> str:
    """yes, no, or nothing where there is no goal."""
    if not goal:
        return ""
    sign, number = goal.split()
    return "yes" if (value >= float(number) if sign == ">=" else value <= float(number)) else "no"


if __name__ == "__main__":
    main()
