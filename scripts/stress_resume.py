"""Kill training runs at random moments, again and again, and compare their results with uninterrupted runs.

    python scripts/stress_resume.py --kills 300

Each round trains in a fresh folder, kills the run with SIGKILL, starts the same training again, up to eight times, then
lets it end. Then everything is compared with an uninterrupted run, bit by bit: all kept checkpoints (weights, optimiser,
scheduler, counters), the sampler state with all its versions, and the metrics of all epochs. Rounds take turns at the
kinds of runs below. `--forget-rows` breaks the restoring of metrics on purpose: the comparison must fail.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PYTHONPATH"] = sys.path[0]

from killed_runs import kill_again_and_again
from rich.progress import Progress

from spot.training import (  # noqa: F401  loaded once, before the forks
    callbacks,
    checkpoint_files,
    csv_logger,
    fit,
    loggers,
)
from tests.end_to_end.runs import assert_same_run
from tests.training.staged import OCEAN

SMOKE = ("experiment=smoke", "run=smoke", "training.epochs=5", "training.steps=3", "state.snapshot_every=2")


class Kind(NamedTuple):
    """A kind of run: its options, and options that must not change its result."""

    options: Sequence[str]
    free: Sequence[str] = ()
    processes: int = 1


KINDS = {
    "transt": Kind(SMOKE),
    "ocean that thaws, a loader process": Kind((*SMOKE, *OCEAN), ("loader.workers=1",)),
    "no burn-in": Kind((*SMOKE, "training.burn_in=0")),
    "a resume point every second epoch": Kind((*SMOKE, "checkpoint.resume_every=2", "checkpoint.every=3")),
    "transt, a loader process": Kind(SMOKE, ("loader.workers=1",)),
    "two processes": Kind((*SMOKE, "trainer=ddp", "trainer.accelerator=cpu"), processes=2),
}


def whole_run(kind: Kind, outputs: Path, videos: Path | None) -> float:
    """An uninterrupted run; its seconds."""
    prepare(outputs, videos)
    begun = time.monotonic()
    kill_again_and_again(kind.options, outputs, 0, 0, random.Random(), kind.processes)
    return time.monotonic() - begun


def prepare(outputs: Path, videos: Path | None) -> None:
    outputs.mkdir()
    for name in ("synthetic", "labels") if videos else ():
        (outputs / name).symlink_to(videos / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how many kills in all")
    parser.add_argument("--kills-of-a-run", type=int, default=8, help="at most so many")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no round after so many")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--forget-rows", action="store_true", help="lose the metrics of killed epochs: must fail")
    options = parser.parse_args()
    if options.forget_rows:
        csv_logger.restore_rows = lambda *_: None
    draw = random.Random(options.seed)
    interrupted: Counter = Counter()
    seconds: dict[str, float] = {}
    rounds = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name, Progress(disable=not sys.stderr.isatty()) as progress:
        folder = Path(name)
        whole_run(KINDS["transt"], folder / "videos", None)  # renders them
        task = progress.add_task("killing", total=options.kills)
        while (left := options.kills - interrupted.total()) > 0 and time.monotonic() - begun < 60 * options.minutes:
            kind_name = options.kinds[rounds % len(options.kinds)]
            kind = KINDS[kind_name]
            whole = folder / f"kind{list(KINDS).index(kind_name)}"
            if kind_name not in seconds:
                seconds[kind_name] = whole_run(kind, whole, folder / "videos")
            outputs = folder / "stopped"
            prepare(outputs, folder / "videos")
            interrupted += kill_again_and_again(
                (*kind.options, *kind.free),
                outputs,
                seconds[kind_name],
                min(options.kills_of_a_run, left),
                draw,
                kind.processes,
            )
            assert_same_run(whole / "smoke", outputs / "smoke")
            shutil.rmtree(outputs)
            rounds += 1
            progress.update(task, completed=interrupted.total())
            print(f"{interrupted.total()} kills, {rounds} runs, the last: {kind_name}", flush=True)
    what = ", ".join(f"{count} interrupted {name}" for name, count in interrupted.most_common())
    print(
        f"{interrupted.total()} kills in {rounds} runs within {time.monotonic() - begun:.0f} s ({what}): "
        "every run ended bit-identical to the uninterrupted one"
    )
    if options.json:
        figures = {"kills": interrupted.total(), "runs": rounds, "identical": rounds, **interrupted}
        options.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
