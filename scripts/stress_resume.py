"""Kill a training run at random moments, again and again, and compare where it ends with a run that was never stopped.

    python scripts/stress_resume.py --kills 200

Each round starts the same smoke run in a fresh folder, kills it with SIGKILL after a random time, starts the same command again
until it is done, and compares weights, optimiser moments and sampler state with the uninterrupted run, bit by bit.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.progress import Progress

from tests.end_to_end.runs import assert_same_run, command, ok
from tests.paths import ROOT

SMOKE = ("experiment=smoke", "run=smoke")


def killed_run(outputs: Path, longest: float, most: int, draw: random.Random) -> int:
    """Kill the run up to `most` times until it ends by itself; returns how often it was killed."""
    kills = 0
    arguments, env = command("train", *SMOKE, outputs=outputs)
    while kills < most:
        process = subprocess.Popen(arguments, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.uniform(0.2, 1) * longest)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    ok("train", *SMOKE, outputs=outputs)
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        whole = Path(folder) / "whole"
        ok("train", *SMOKE, outputs=whole)  # renders the videos
        shutil.rmtree(whole / "smoke")
        started = time.monotonic()
        ok("train", *SMOKE, outputs=whole)
        longest = time.monotonic() - started
        task = progress.add_task("killing", total=options.kills)
        kills = rounds = 0
        while kills < options.kills:
            outputs = Path(folder) / "stopped"
            outputs.mkdir()
            for name in ("synthetic", "labels"):
                (outputs / name).symlink_to(whole / name)
            kills += killed_run(outputs, longest, min(8, options.kills - kills), draw)
            assert_same_run(whole / "smoke", outputs / "smoke")
            shutil.rmtree(outputs)
            rounds += 1
            progress.update(task, completed=kills)
    print(f"{kills} kills in {rounds} runs: every run ended bit-identical to the uninterrupted one")
    if options.json:
        options.json.write_text(json.dumps({"kills": kills, "runs": rounds, "identical": rounds}) + "\n")


if __name__ == "__main__":
    main()
