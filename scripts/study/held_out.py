"""What do few labels reach on real video? Train by several settings, track held-out videos, compare.

    python scripts/study/held_out.py                                    # the main claim: k = 3, three seeds
    python scripts/study/held_out.py --start nanotrack_v1 --k 2 3 5
    python scripts/study/held_out.py --settings no_strong_augmentation no_teacher_ema
    python scripts/study/held_out.py --settings spot_47_videos --k 5
    python scripts/study/held_out.py --settings annotated               # learn from the boxes of spot.annotate
    python scripts/study/held_out.py --split val --seeds 0              # to choose settings
    python scripts/study/held_out.py --report

Training sequences of `$SPOT_SHARED/data/real` are learnt from all their labels, from k key frames alone or by the
method, always for the same number of steps. Each held-out video is then tracked from four starts. docs/study.md has the
plan and the results. What is finished is skipped and what is not is continued: stop it and start it as often as you like.
Runs whose rows are in docs/study/held_out.json with the same settings are finished, wherever they were made.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
from held_out_report import report
from peers import peer_rows
from runs import (
    COMPARED,
    OUTPUTS,
    PRECISION,
    ROOT,
    WITHOUT,
    Job,
    Row,
    collect,
    finished,
    last_metrics,
    missing,
    run_jobs,
    spot,
    study_parser,
)
from study_tables import merged, read_rows, run_of, write_rows

from spot.data.datasets.folder import load

REAL = Path(os.environ.get("SPOT_SHARED", ROOT.parent / "shared")).resolve() / "data" / "real"
NETS = REAL.parents[1] / "peers" / "nanotrack"
FOLDER = OUTPUTS / "held_out"
NANOTRACK = FOLDER / "nanotrack_v1.pt"
ROWS = ROOT / "docs" / "study" / "held_out.json"
DIRECTIONS = ("start", "middle", "end_backwards", "middle_backwards")
"""From where, and in which direction, each held-out video is tracked: one loss of the target decides less."""


LONG = ("training.epochs=80", "training.burn_in=24", "checkpoint.every=80", "scheduler=cosine", "teacher.decay=0.99")
OCEAN = ("experiment=study", f"trainer.precision={PRECISION}")
NETWORKS = {
    "ocean_small": OCEAN,
    "ocean_small_long": (*OCEAN, *LONG),
    "nanotrack_v1": ("experiment=study_nano", f"initial={NANOTRACK}"),
}
"""Options of spot.train that all runs of a table start from."""

VIDEOS = 26  # that are learnt from, the first of the list
SURE = 0.9  # lowest score of a box that `annotated` learns from
MORE_VIDEOS = (47, 78)  # with k = 5 and 3 as many boxes as 26 videos with k = 9
SETTINGS = {
    **COMPARED,
    "annotated": ("supervision=full",),  # the boxes that spot.annotate makes with a tracker of the key frames alone
    **WITHOUT,
    **{f"{name}_{count}_videos": options for name, options in COMPARED.items() for count in MORE_VIDEOS},
}


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--start", nargs="+", choices=NETWORKS, default=["ocean_small"], help="weights to start from")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=[*COMPARED])
    parser.add_argument("--k", type=int, nargs="+", default=[3], help="labelled frames a video")
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="videos to track; val chooses settings"
    )
    parser.add_argument("--peers", action="store_true", help="also track with OpenCV's MIL and NanoTrack: minutes")
    options = parser.parse_args()
    if not REAL.is_dir():
        sys.exit(f"no videos at {REAL}: set SPOT_SHARED to the folder that holds data/real")
    earlier = read_rows(ROWS) if options.split == "test" else []
    if not options.report:
        prepare(options)
        until = time.monotonic() + 60 * options.minutes
        for start in options.start:
            outputs = FOLDER / options.split / start
            wanted = missing(jobs(start, options), [row for row in earlier if row["start"] == start], outputs)
            run_jobs(wanted, outputs, (until - time.monotonic()) / 60, options.jobs)
    found = rows(options.split)
    if options.split == "val":
        return report(found, None)
    found += peer_rows(load(str(REAL), "test"), NETS, FOLDER / "peers", options.peers)
    every = sorted(merged(found, earlier), key=lambda row: order(run_of(row)))
    write_rows(every, ROWS)
    report(every, ROOT / "docs")


def order(run: tuple[str, str, int | None, int]) -> tuple[int, int, int, int]:
    """Return where a run's rows stand in the file: by start, setting, k and seed; OpenCV's trackers last."""
    start, setting, k, seed = run
    of_start = [*NETWORKS].index(start) if start in NETWORKS else len(NETWORKS)
    of_setting = [*SETTINGS].index(setting) if setting in SETTINGS else len(SETTINGS)
    return of_start, of_setting, k or 0, seed


def prepare(options: argparse.Namespace) -> None:
    """Lay out the tracks and the smaller training sets; convert NanoTrack's weights if they are needed."""
    lay_out_tracks(options.split)
    names = (REAL / "train" / "list.txt").read_text().split()
    for count in (VIDEOS, *MORE_VIDEOS):
        link(FOLDER / f"train_{count}", {name: REAL / "train" / name for name in names[:count]})
    if "nanotrack_v1" in options.start and not NANOTRACK.is_file():
        source = ",".join(str(NETS / f"nanotrackv1_nanotrack_{part}_sim.onnx") for part in ("backbone", "head"))
        spot(
            "convert",
            FOLDER,
            FOLDER / "convert.log",
            ["arch=nanotrack_v1", f"source=[{source}]", f"target={NANOTRACK}"],
        )


def lay_out_tracks(split: str) -> None:
    """Write a folder of sequences with links to the frames: each held-out video from all its starts."""
    for video in (REAL / split / "list.txt").read_text().split():
        source = REAL / split / video
        labels = [(source / name).read_text().split() for name in ("groundtruth.txt", "absence.label")]
        table = list(zip(sorted(source.glob("*.jpg")), *labels, strict=True))
        middle = len(table) // 2
        for direction, part in zip(DIRECTIONS, (table, table[middle:], table[::-1], table[middle::-1]), strict=True):
            while part[0][2] != "0":  # the target must be seen where tracking starts
                part = part[1:]
            folder = tracks(split) / f"{video}__{direction}"
            link(folder, {f"{number:08d}.jpg": frame for number, (frame, _, _) in enumerate(part, 1)})
            (folder / "groundtruth.txt").write_text("".join(f"{box}\n" for _, box, _ in part))
            (folder / "absence.label").write_text("".join(f"{flag}\n" for _, _, flag in part))


def tracks(split: str) -> Path:
    return FOLDER / f"tracks_{split}"


def link(folder: Path, files: dict[str, Path]) -> None:
    """Make a folder of links, name to file; links that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(file)


def annotated(start: str) -> Path:
    """Return the folder of the data sets that `annotated` learns from, and of the runs that they come from."""
    return FOLDER / "annotated" / start


def annotate(job: Job, start: str) -> None:
    """Train a job's tracker and write its boxes of all frames as a data set: those of a score of at least `SURE`."""
    folder = annotated(start) / f"k{job.k}_s{job.seed}"
    if (folder / "list.txt").is_file():
        return
    log = annotated(start) / "logs" / f"{job.run}.log"
    spot("train", annotated(start), log, [f"run={job.run}", f"seed={job.seed}", *job.train])
    spot("annotate", annotated(start), log, [f"run={job.run}", "review=false", "overlay=false"])
    table = pd.read_csv(annotated(start) / "annotations" / job.run / "annotations.csv")
    for video, rows in table.groupby("video"):
        rows = rows.sort_values("frame")
        link(folder / str(video), {frame.name: frame for frame in (REAL / "train" / str(video)).glob("*.jpg")})
        boxes = rows[["x", "y", "w", "h"]].where((rows["score"] >= SURE) & (rows["absent"] == 0))
        boxes.to_csv(folder / str(video) / "groundtruth.txt", header=False, index=False, na_rep="NaN")
        absent = boxes["x"].isna().astype(int)
        absent.to_csv(folder / str(video) / "absence.label", header=False, index=False)
    (folder / "list.txt").write_text("".join(f"{video}\n" for video in table["video"].unique()))


def jobs(start: str, options: argparse.Namespace) -> list[Job]:
    """Return the runs from one start, seed by seed."""

    def job(setting: str, k: int | None, seed: int) -> Job:
        count = next((count for count in MORE_VIDEOS if setting.endswith(f"_{count}_videos")), VIDEOS)
        videos = FOLDER / f"train_{count}"
        labels = (f"paths.labels={FOLDER / 'labels' / f'{count}_s{seed}'}", *([f"labels={k}"] if k else []))
        prepare = None
        if setting == "annotated":
            prepare = partial(annotate, job("key_frames_only", k, seed), start)
            videos = annotated(start) / f"k{k}_s{seed}"
        train = (*NETWORKS[start], *SETTINGS[setting], f"paths.folder={videos}", *labels)
        test = (
            "benchmark=folder",
            f"benchmark.name=held_out_{options.split}",
            f"paths.folder={tracks(options.split)}",
            f"precision={PRECISION}",
            "backend=torch",
        )
        return Job(setting, k, seed, train, test, prepare)

    planned = []
    for seed in options.seeds:
        for setting in options.settings:
            ks = [None] if setting.startswith("full") else options.k
            planned += [job(setting, k, seed) for k in ks]
    return planned


def rows(split: str) -> list[Row]:
    """Return a row for each finished run and video.

    Beside what `runs.collect` gives: `start`; `first`, the success from the video's first frame alone; of a run of SPOT
    `explored`, the fraction of frames that have a label; and if it kept pseudo labels, `label_iou`, the mean IoU with the
    annotation of those kept in the last epoch that kept one.
    """
    found: list[Row] = []
    for start in NETWORKS:
        outputs = FOLDER / split / start
        every = [*SETTINGS]
        options = argparse.Namespace(split=split, seeds=range(10), settings=every, k=(2, 3, 5, 9))
        done = finished(jobs(start, options), outputs)
        if not done:
            continue
        sequences = load(str(tracks(split)))
        benchmark = f"held_out_{split}"
        first = {
            (row["setting"], row["k"], row["seed"], row["video"].rpartition("__")[0]): row["score"]
            for row in collect(done, sequences, benchmark, outputs)
            if row["video"].endswith(f"__{DIRECTIONS[0]}")
        }
        quality = {job: last_metrics(job, outputs) for job in done}
        labels = {
            (job.setting, job.k, job.seed): {
                name: round(of[column], 4)
                for name, column in (("label_iou", "pseudo_label_iou"), ("explored", "explored_fraction"))
                if column in of
            }
            for job, of in quality.items()
        }
        for row in collect(done, sequences, benchmark, outputs, lambda name: name.rpartition("__")[0]):
            run = (row["setting"], row["k"], row["seed"])
            found.append({"start": start, **row, "first": first[*run, row["video"]], **labels.get(run, {})})
    return found


if __name__ == "__main__":
    main()
