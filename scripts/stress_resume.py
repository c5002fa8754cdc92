"""Kill training runs at random moments, again and again, and compare where they end with runs that were never stopped.

    python scripts/stress_resume.py --kills 300

Each round trains in a fresh folder, kills the process with SIGKILL, starts the same training again, up to eight times, then lets it
end and compares weights, optimiser moments, sampler state and metrics with the uninterrupted run, bit by bit. Rounds take turns at
TransT and at an Ocean whose backbone thaws, with and without a loader process. Every other kill waits, after its random time, for a
file being written: a checkpoint, the state, or a state that is ahead of its checkpoint.

A process is a fork of this one, which has torch loaded: a kill costs a second instead of ten.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = "1"

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.progress import Progress

from spot.runtime.command import config_folder
from spot.train import train
from spot.training import (
    checkpoint_files,  # noqa: F401  loaded once, before the forks
    fit,  # noqa: F401  loaded once, before the forks
)
from spot.training import setup as assemble  # noqa: F401  loaded once, before the forks
from tests.end_to_end.runs import assert_same_run
from tests.training.staged import OCEAN

SMOKE = ("experiment=smoke", "run=smoke", "training.epochs=5", "training.steps=3", "state.snapshot_every=2")
KINDS = {
    "transt": SMOKE,
    "ocean, a loader process": (*SMOKE, *OCEAN, "loader.workers=1"),
    "ocean": (*SMOKE, *OCEAN),
    "transt, a loader process": (*SMOKE, "loader.workers=1"),
}
MOST_KILLS = 8  # of a run
LONGEST = 600  # seconds that a run may take; it takes a few


def started(cfg: DictConfig) -> int:
    """The process id of a training run; what it says goes to `paths.outputs`/said."""
    outputs = Path(cfg.paths.outputs)
    if child := os.fork():
        os.setpgid(child, child)  # with its loader process, which dies with it
        return child
    status = 1
    try:
        os.setpgid(0, 0)  # whichever of the two comes first
        signal.alarm(LONGEST)
        tempfile.tempdir = str(outputs)  # what a killed loader process leaves there goes with the round
        said = os.open(outputs / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        train(cfg)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(process: int, outputs: Path) -> bool:
    """Whether a run has ended by itself. Raises where it has failed."""
    found, status = os.waitpid(process, os.WNOHANG)
    if found and status:
        said = (outputs / "said").read_text()[-4000:]
        raise RuntimeError(f"a run ended with status {os.waitstatus_to_exitcode(status)}, saying\n{said}")
    return bool(found)


def being_written(run: Path, since: float) -> str:
    """What a kill at this moment interrupts of what a process begun at `since` writes, "" for nothing."""
    states = sorted((run / "sampler_state").glob("*-*.state"))[-1:]
    last = max(written(run / "checkpoints" / "last.ckpt"), since)
    if any(written(partial) > since for partial in (run / "checkpoints").glob("*.partial")):
        return "a checkpoint"
    if written(run / "sampler_state" / "next.partial") > since:
        return "the state"
    if any(written(state) > last for state in states):
        return "between state and checkpoint"
    return ""


def written(file: Path) -> float:
    """When a file was written last; 0 where it is gone."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0


def killed_run(options: tuple[str, ...], outputs: Path, longest: float, kills: int, draw: random.Random) -> Counter:
    """Kill the run up to so many times, then let it end; what the kills interrupted."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("train", [*options, f"paths.outputs={outputs}"])
    interrupted: Counter = Counter()
    for turn in range(kills):
        process = started(cfg)
        since, moment = time.time(), time.monotonic() + draw.uniform(0, 0.4) * longest  # so that eight reach the end
        wait_for_write = turn % 2 == 1
        over = False
        while not (over := ended(process, outputs)) and (
            time.monotonic() < moment or (wait_for_write and not being_written(outputs / "smoke", since))
        ):
            time.sleep(0.0005 if time.monotonic() >= moment else 0.005)
        if over:
            break
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        interrupted[being_written(outputs / "smoke", since) or "nothing"] += 1
    process = started(cfg)
    while not ended(process, outputs):
        time.sleep(0.02)
    return interrupted


def whole_run(options: tuple[str, ...], outputs: Path, videos: Path | None) -> float:
    """An uninterrupted run; its seconds."""
    prepare(outputs, videos)
    begun = time.monotonic()
    killed_run(options, outputs, 0, 0, random.Random())
    return time.monotonic() - begun


def prepare(outputs: Path, videos: Path | None) -> None:
    outputs.mkdir()
    for name in ("synthetic", "labels") if videos else ():
        (outputs / name).symlink_to(videos / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how many kills in all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no round after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    most = min(MOST_KILLS, math.ceil(options.kills / 2))  # TransT and Ocean at least
    interrupted: Counter = Counter()
    rounds = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name, Progress(disable=not sys.stderr.isatty()) as progress:
        folder = Path(name)
        whole_run(SMOKE, folder / "videos", None)  # renders them
        longest = {
            kind: whole_run(chosen, folder / kind, folder / "videos")
            for kind, chosen in KINDS.items()
            if "loader" not in kind
        }
        task = progress.add_task("killing", total=options.kills)
        while (left := options.kills - interrupted.total()) > 0 and time.monotonic() - begun < 60 * options.minutes:
            kind = list(KINDS)[rounds % len(KINDS)]
            whole = kind.split(",")[0]
            outputs = folder / "stopped"
            prepare(outputs, folder / "videos")
            interrupted += killed_run(KINDS[kind], outputs, longest[whole], min(most, left), draw)
            assert_same_run(folder / whole / "smoke", outputs / "smoke")
            shutil.rmtree(outputs)
            rounds += 1
            progress.update(task, completed=interrupted.total())
            print(f"{interrupted.total()} kills, {rounds} runs", flush=True)
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
