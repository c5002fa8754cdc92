"""The label-efficiency study: compare training from a few labels per video with full supervision.

    python scripts/study/study.py [--minutes 90] [--jobs 2] [--seeds 0 1 2]

Trains one small architecture on real video (conf/experiment/study.yaml) from all labels, from k key frames alone and by
the method, and with one part of the method off at a time; tracks the held-out videos with each; then writes the table,
the plots and docs/study.json (study_report.py). What is finished is skipped, what is not is continued: stop it and
start it as often as you like. `--minutes` starts no further run after that time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from study_plan import OUTPUTS, PRETRAINED, REAL, ROOT, STARTS, TRACKS, Job, jobs
from study_report import report


def spot(command: str, log: Path, *options: str) -> None:
    """Run one of the project's commands on one core, as a user would."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        subprocess.run(
            [sys.executable, "-m", f"spot.{command}", f"paths.outputs={OUTPUTS}", *options],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
        )


def pretrain() -> None:
    """Train the common start of all runs on procedural videos, whose labels cost nothing."""
    if not (OUTPUTS / PRETRAINED / "checkpoints" / "done").exists():
        spot("train", OUTPUTS / "logs" / f"{PRETRAINED}.log", "experiment=study_pretraining", f"run={PRETRAINED}")
        (OUTPUTS / PRETRAINED / "checkpoints" / "done").touch()


def lay_out_tracks() -> None:
    """Write a folder of sequences with links to the frames: each held-out video from all its starts."""
    for video in (REAL / "test" / "list.txt").read_text().split():
        source = REAL / "test" / video
        frames = sorted(source.glob("*.jpg"))
        rows, absent = (source / name for name in ("groundtruth.txt", "absence.label"))
        table = list(zip(frames, rows.read_text().split(), absent.read_text().split(), strict=True))
        middle = len(table) // 2
        for start, part in zip(STARTS, (table, table[middle:], table[::-1], table[middle::-1]), strict=True):
            while part[0][2] != "0":  # the target must be seen where tracking starts
                part = part[1:]
            folder = TRACKS / f"{video}__{start}"
            folder.mkdir(parents=True, exist_ok=True)
            for number, (frame, _, _) in enumerate(part, 1):
                link = folder / f"{number:08d}.jpg"
                if not link.exists():
                    link.symlink_to(frame)
            (folder / "groundtruth.txt").write_text("".join(f"{box}\n" for _, box, _ in part))
            (folder / "absence.label").write_text("".join(f"{flag}\n" for _, _, flag in part))


def work(job: Job) -> None:
    """Train, then track the held-out videos."""
    done = OUTPUTS / job.run / "done.json"
    if done.exists():
        return
    log = OUTPUTS / "logs" / f"{job.run}.log"
    spot(
        "train", log, "experiment=study", f"run={job.run}", f"seed={job.seed}", f"paths.folder={REAL / 'train'}",
        f"paths.labels={OUTPUTS / 'labels' / f's{job.seed}'}", f"initial={OUTPUTS / PRETRAINED}", *job.options,
    )  # fmt: skip
    spot(
        "test", log, "arch=ocean_small", f"run={job.run}", f"tracker={job.run}", "benchmark=folder",
        "benchmark.name=held_out", f"paths.folder={TRACKS}", "precision=bf16-mixed",
    )  # fmt: skip
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    done.write_text(json.dumps({"commit": commit.strip()}))


def peers() -> Iterator[str]:
    """Track the held-out videos with OpenCV's MIL and, where their files are at hand, NanoTrack v1 and v2."""
    import cv2
    import numpy as np

    nets = REAL.parents[1] / "peers" / "nanotrack"
    makers = {"MIL": cv2.TrackerMIL.create}
    for version in (1, 2):
        files = [nets / f"nanotrackv{version}_nanotrack_{part}_sim.onnx" for part in ("backbone", "head")]
        if all(file.is_file() for file in files):
            parameters = cv2.TrackerNano.Params()
            parameters.backbone, parameters.neckhead = map(str, files)
            makers[f"NanoTrack_v{version}"] = lambda parameters=parameters: cv2.TrackerNano.create(parameters)
    for name, make in makers.items():
        folder = OUTPUTS / "results" / "held_out" / name
        folder.mkdir(parents=True, exist_ok=True)
        for track in sorted(TRACKS.iterdir()):
            if (folder / f"{track.name}.txt").exists():
                continue
            truth = np.loadtxt(track / "groundtruth.txt", delimiter=",")
            frames = [cv2.imread(str(path)) for path in sorted(track.glob("*.jpg"))]
            tracker = make()
            tracker.init(frames[0], tuple(round(x) for x in truth[0]))
            boxes = [truth[0]]
            for frame in frames[1:]:
                found, box = tracker.update(frame)
                boxes.append(np.array(box, float) if found else boxes[-1])
            np.savetxt(folder / f"{track.name}.txt", boxes, fmt="%.2f", delimiter=",")
        yield name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no further run after this time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, of one core each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="only write the report of what is finished")
    options = parser.parse_args()
    if not REAL.is_dir():
        sys.exit(f"no videos at {REAL}: set SPOT_SHARED to the folder that holds data/real")
    if not options.report:
        until = time.monotonic() + 60 * options.minutes
        pretrain()
        lay_out_tracks()
        with (
            Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()) as progress,
            ThreadPoolExecutor(options.jobs) as pool,
        ):
            planned = jobs(options.seeds)
            bar = progress.add_task("runs", total=len(planned))

            def one(job: Job) -> None:
                if time.monotonic() < until:
                    work(job)
                    progress.advance(bar)

            list(pool.map(one, planned))
        list(peers())
    report(jobs(options.seeds), OUTPUTS, TRACKS)


if __name__ == "__main__":
    main()
