"""Kill training runs at random moments, again and again, and compare where they end with runs that were never stopped.

    python scripts/stress_resume.py --kills 300

Each round trains in a fresh folder, kills the process with SIGKILL, starts the same training again, up to four times, then lets it
end and compares weights, optimiser moments and sampler state with the uninterrupted run, bit by bit. Rounds take turns at
TransT and at an Ocean whose backbone thaws, with and without a loader process. Every other kill waits, after its random time, for a
file being written: a checkpoint, the state, or a state that is ahead of its checkpoint.

A process is a fork of this one, which has torch loaded: a kill costs a second instead of ten.
"""

from __future__ import annotations

import argparse
import json
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
from rich.progress import Progress

from spot.command import config_folder
from spot.learning import assemble, checkpoint_files, fit  # noqa: F401  loaded once, before the forks
from spot.train import train
from tests.end_to_end.runs import assert_same_run
from tests.learning.staged import OCEAN

SMOKE = ("experiment=smoke", "run=smoke", "training.epochs=5", "training.steps=3", "state.snapshot_every=2")
KINDS = {
    "transt": SMOKE,
    "ocean, a loader process": (*SMOKE, *OCEAN, "loader.workers=1"),
    "ocean": (*SMOKE, *OCEAN),
    "transt, a loader process": (*SMOKE, "loader.workers=1"),
}
MOST_KILLS = 4


def started(options: tuple[str, ...], outputs: Path) -> int:
    """The process id of a training run; what it says goes to `outputs`/said."""
    if child := os.fork():
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        said = os.open(outputs / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            train(compose("train", [*options, f"paths.outputs={outputs}"]))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(process: int) -> bool:
    """Whether a run has ended by itself. Raises where it has failed."""
    found, status = os.waitpid(process, os.WNOHANG)
    if found and status:
        raise RuntimeError(f"a run ended with status {os.waitstatus_to_exitcode(status)}")
    return bool(found)


def being_written(run: Path) -> str:
    """What a kill at this moment interrupts, "" for none of the writes."""
    states = sorted((run / "sampler_state").glob("*-*.state"))
    last = run / "checkpoints" / "last.ckpt"
    if any((run / "checkpoints").glob("*.partial")):
        return "a checkpoint"
    if (run / "sampler_state" / "next.partial").exists():
        return "the state"
    if states and last.exists() and states[-1].stat().st_mtime > last.stat().st_mtime:
        return "between state and checkpoint"
    return ""


def killed_run(options: tuple[str, ...], outputs: Path, longest: float, kills: int, draw: random.Random) -> Counter:
    """Kill the run up to so many times, then let it end; what the kills interrupted."""
    interrupted: Counter = Counter()
    for turn in range(kills):
        process = started(options, outputs)
        moment = time.monotonic() + draw.uniform(0, 0.6) * longest  # four of them reach the end
        wait_for_write = turn % 2 == 1
        over = False
        while not (over := ended(process)) and (
            time.monotonic() < moment or (wait_for_write and not being_written(outputs / "smoke"))
        ):
            time.sleep(0.0005 if time.monotonic() >= moment else 0.005)
        if over:
            break
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        interrupted[being_written(outputs / "smoke") or "nothing"] += 1
    process = started(options, outputs)
    while not ended(process):
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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    interrupted: Counter = Counter()
    rounds = 0
    with tempfile.TemporaryDirectory() as name, Progress(disable=not sys.stderr.isatty()) as progress:
        folder = Path(name)
        whole_run(SMOKE, folder / "videos", None)  # renders them
        longest = {
            kind: whole_run(chosen, folder / kind, folder / "videos")
            for kind, chosen in KINDS.items()
            if "loader" not in kind
        }
        task = progress.add_task("killing", total=options.kills)
        while (left := options.kills - interrupted.total()) > 0:
            kind = list(KINDS)[rounds % len(KINDS)]
            whole = kind.split(",")[0]
            outputs = folder / "stopped"
            prepare(outputs, folder / "videos")
            interrupted += killed_run(KINDS[kind], outputs, longest[whole], min(MOST_KILLS, left), draw)
            assert_same_run(folder / whole / "smoke", outputs / "smoke")
            shutil.rmtree(outputs)
            rounds += 1
            progress.update(task, completed=interrupted.total())
            print(f"{interrupted.total()} kills, {rounds} runs", flush=True)
    what = ", ".join(f"{count} interrupted {name}" for name, count in interrupted.most_common())
    print(
        f"{interrupted.total()} kills in {rounds} runs ({what}): every run ended bit-identical to the uninterrupted one"
    )
    if options.json:
        figures = {"kills": interrupted.total(), "runs": rounds, "identical": rounds, **interrupted}
        options.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
