"""The runs of a study: each is trained and tested by the project's own commands, and skipped once it is finished.

A study is a list of jobs. `python scripts/study/NAME.py` can be stopped and started at any time: a finished run has a
`done.json`, and an unfinished one continues from its checkpoint. `study_tables.py` turns the rows into tables.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from spot.data.video import VideoSet
from spot.reporting.evaluate_benchmark import evaluate_trackers
from spot.reporting.options import Options

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = Path(os.environ.get("SPOT_OUTPUTS", ROOT / "outputs")).resolve()
Row = dict[str, Any]
COMPOSING = Lock()  # Hydra composes one configuration at a time in a process

COMPARED = {
    "full": ("supervision=full",),
    "key_frames_only": ("supervision=key_frames_only",),
    "spot": ("supervision=spot",),
}
WITHOUT = {
    "no_iou_filtering": ("supervision=spot", "teacher.threshold=0"),
    "no_strong_augmentation": ("supervision=spot", "augment.strong=false"),
    "no_temporal_calibration": ("supervision=spot", "teacher.window=0"),
    "no_relay_template": ("supervision=spot", "exploration.relay_template=false"),
    "no_propagation": ("supervision=spot", "exploration.step=0"),
    "no_teacher_ema": ("supervision=spot", "teacher.ema_interval=0"),
}
"""Options of spot.train: what is compared, and the method without one of its parts."""

PRECISION = "bf16-mixed" if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else "32-true"
"""bfloat16 is faster on processors that compute in it, and fifty times slower on the others."""


@dataclass(frozen=True)
class Job:
    """One training run and its test.

    Attributes:
        setting: full, key_frames_only, spot, or the name of another setting.
        k: labelled frames a video; None for all.
        seed: of weights, label sampling, data order and augmentation.
        train: options of spot.train, without run=, seed= and paths.outputs=.
        test: options of spot.test, without run=, tracker= and paths.outputs=.
        prepare: makes what the training needs; called right before it.
    """

    setting: str
    k: int | None
    seed: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    prepare: Callable[[], None] | None = field(default=None, compare=False)

    @property
    def run(self) -> str:
        """Name of the run and of its results."""
        return f"{self.setting}{'' if self.k is None else f'_k{self.k}'}_s{self.seed}"


def spot(command: str, outputs: Path, log: Path, options: Sequence[str]) -> None:
    """Run one of the project's commands on one core, as a user would.

    Raises:
        SystemExit: the command failed; the message has the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", f"spot.{command}", f"paths.outputs={outputs}", *options]
    with log.open("a") as file:
        code = subprocess.run(
            words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=file, stderr=subprocess.STDOUT
        ).returncode
    if code:
        raise SystemExit(f"spot.{command} failed, see {log}: {' '.join(log.read_text().splitlines()[-3:])}")


def work(job: Job, outputs: Path) -> None:
    """Train and test one job, unless it is finished.

    Raises:
        SystemExit: it was finished with other settings.
    """
    done, config = outputs / job.run / "done.json", config_hash(job, outputs)
    if done.exists():
        if json.loads(done.read_text())["config"] != config:
            raise SystemExit(f"{done.parent} was made with other settings; delete the folder and the run is made anew")
        return
    if job.prepare is not None:
        job.prepare()
    log = outputs / "logs" / f"{job.run}.log"
    spot("train", outputs, log, [f"run={job.run}", f"seed={job.seed}", *job.train])
    spot("test", outputs, log, [f"run={job.run}", f"tracker={job.run}", *job.test])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    done.write_text(json.dumps({"commit": commit.strip(), "config": config}) + "\n")


def config_hash(job: Job, outputs: Path) -> str:
    """Return eight digits that name the settings of a job's training, whatever the folders on this machine are."""
    with COMPOSING, initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", [f"seed={job.seed}", *job.train])
    settings = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(settings, dict)
    for key in ("paths", "run"):
        settings.pop(key)
    text = json.dumps(settings, sort_keys=True).replace(str(outputs), "OUTPUTS").replace(str(OUTPUTS), "OUTPUTS")
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_jobs(jobs: Sequence[Job], outputs: Path, minutes: float, parallel: int) -> None:
    """Work through the jobs in their order, `parallel` at a time, a core each; start none after `minutes`."""
    until = time.monotonic() + 60 * minutes
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(parallel) as pool:
        bar = progress.add_task("runs", total=len(jobs))

        def one(job: Job) -> None:
            if time.monotonic() < until:
                work(job, outputs)
                progress.advance(bar)

        list(pool.map(one, jobs))


def missing(jobs: Iterable[Job], rows: Iterable[Row], outputs: Path) -> list[Job]:
    """Return the jobs that still have to be made: `rows` has none of theirs that was made with their present settings."""
    made = {(row["setting"], row["k"], row["seed"], row["config"]) for row in rows}
    return [job for job in jobs if (job.setting, job.k, job.seed, config_hash(job, outputs)) not in made]


def finished(jobs: Iterable[Job], outputs: Path) -> list[Job]:
    """Return the jobs whose runs are trained and tested."""
    return [job for job in jobs if (outputs / job.run / "done.json").exists()]


def collect(
    jobs: Sequence[Job], videos: VideoSet, benchmark: str, outputs: Path, video_of: Callable[[str], str] = str
) -> list[Row]:
    """Return a row for each finished job and video: setting, k, seed, video, score, commit, config.

    Args:
        jobs: those that are not finished are left out.
        videos: the test videos, with their annotation.
        benchmark: name of the results' folder.
        outputs: the study's folder.
        video_of: name of the video of a tracked sequence; the score is the mean over the sequences of a video.

    Returns:
        `score` is the success AUC (pytracking's rules), a fraction of 1.
    """
    done = finished(jobs, outputs)
    folders = {job.run: outputs / "results" / benchmark / job.run for job in done}
    result, _ = evaluate_trackers(videos, benchmark, folders, Options(protocol="pytracking", attributes=False))
    of_run = {each.name: each for each in result.trackers}
    rows: list[Row] = []
    for job in done:
        grouped: dict[str, list[float]] = {}
        for sequence, value in zip(of_run[job.run].videos, of_run[job.run].per_video["success"], strict=True):
            grouped.setdefault(video_of(sequence), []).append(value)
        made = json.loads((outputs / job.run / "done.json").read_text())
        for video, values in grouped.items():
            row = {"setting": job.setting, "k": job.k, "seed": job.seed, "video": video}
            rows.append(row | {"score": round(float(np.mean(values)), 5)} | made)
    return rows


def last_metrics(job: Job, outputs: Path) -> dict[str, float]:
    """Return the last known value of each column of a run's metrics.csv, such as `explored_fraction`."""
    with (outputs / job.run / "metrics.csv").open(newline="") as file:
        return {key: float(text) for row in csv.DictReader(file) for key, text in row.items() if text}


def study_parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all studies have: --minutes, --jobs, --seeds, --report. `text` describes the study."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no further run after this time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, of one core each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="only write the report of what is finished")
    return parser
