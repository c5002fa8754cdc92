"""Search the teacher's three numbers with Optuna: threshold, window and keep rate (decay).

    python scripts/tune.py --trials 30 experiment=demo
    python scripts/tune.py --trials 30 --benchmark synthetic experiment=demo    # judged on a benchmark

Every trial is a run `<study>/trial_000` of its own with the options given. The study is kept in `<outputs>/<study>/study.db`:
the same command continues it, an interrupted trial included (one search of a study at a time). Without a benchmark a trial is
judged by a column of metrics.csv over its epochs, and stopped early where it lies below the median of the others. The labels'
IoU needs annotated training videos: choose by it, or by a validation set, never by a test set.

Needs Optuna: `pip install -e ".[tune]"`. Hydra's own Optuna sweeper (1.3.0) asks for an Optuna before 3.0, of 2022.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

OVER = (TrialState.COMPLETE, TrialState.PRUNED)
RANGES = {"teacher.threshold": (0.6, 0.95), "teacher.window": (0.0, 0.8), "teacher.decay": (0.95, 0.9999)}


def suggest(trial: Trial) -> dict[str, float]:
    """Return the numbers of a trial; of the keep rate it is the distance to 1 that matters."""
    values = {key: trial.suggest_float(key, *RANGES[key]) for key in ("teacher.threshold", "teacher.window")}
    low, high = RANGES["teacher.decay"]
    return {**values, "teacher.decay": 1 - trial.suggest_float("1 - teacher.decay", 1 - high, 1 - low, log=True)}


def run_of(trial: Trial | FrozenTrial) -> int:
    """Return the number of the run: a trial that takes up an interrupted one has its run."""
    return int(trial.user_attrs.get("run", trial.number))


def take_up(study: optuna.Study) -> None:
    """Queue again what was interrupted or failed, each in its own run."""
    settled = {run_of(trial) for trial in study.get_trials(states=(*OVER, TrialState.WAITING))}
    for trial in study.get_trials(states=(TrialState.RUNNING, TrialState.FAIL)):
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.params and run_of(trial) not in settled:
            settled.add(run_of(trial))
            study.enqueue_trial(trial.params, user_attrs={"run": run_of(trial)})


def run_trial(trial: Trial, arguments: argparse.Namespace) -> float:
    """Train, and return the score; what was interrupted continues in its old folder."""
    name = f"{arguments.study}/trial_{run_of(trial):03d}"
    folder = arguments.outputs / name
    options = [f"{key}={value:.6g}" for key, value in suggest(trial).items()]
    options += [*arguments.options, f"run='{name}'", f"sweep={arguments.study}"]
    command = "train"
    if arguments.benchmark:
        command = "onekey"
        options += [f"benchmark={arguments.benchmark}", f"paths.reports='{folder / 'reports'}'"]
        options.append("start_epoch=${training.epochs}")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SPOT_OUTPUTS": str(arguments.outputs)}
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"spot.{command}", *options], stdout=log, stderr=log, env=environment
        )
    try:
        score = float("nan")
        for epoch, score in follow(process, folder / "metrics.csv", arguments.objective):
            trial.report(score, epoch)
            if not arguments.benchmark and trial.should_prune():
                raise optuna.TrialPruned
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"{name}: exit status {process.returncode}; see {folder / 'log.txt'}")
    return benchmark_score(folder / "reports") if arguments.benchmark else score


def follow(process: subprocess.Popen, metrics: Path, column: str) -> Iterator[tuple[int, float]]:
    """Epoch and value of each new row until the process ends, the last ones included."""
    seen = -1
    while True:
        running = process.poll() is None
        for epoch, value in read_column(metrics, column):
            if epoch > seen:
                seen = epoch
                yield epoch, value
        if not running:
            return
        time.sleep(1)


def read_column(metrics: Path, column: str) -> list[tuple[int, float]]:
    """Return (epoch, value) of the rows that have one."""
    if not metrics.is_file():
        return []
    with metrics.open(newline="") as file:
        return [(int(row["epoch"]), float(row[column])) for row in csv.DictReader(file) if row.get(column)]


def benchmark_score(reports: Path) -> float:
    """Return the first measure of the last epoch in the one report there is."""
    (summary,) = reports.glob("*/summary.json")
    scores = json.loads(summary.read_text())
    return float(next(iter(scores[max(scores)].values())))


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="search", help="name of the study and of its folder")
    parser.add_argument("--trials", type=int, default=20, help="finished trials after which the search ends")
    parser.add_argument("--objective", default="pseudo_label_iou", help="column of metrics.csv, the higher the better")
    parser.add_argument("--benchmark", help="judge by this benchmark's main measure instead (spot.onekey)")
    parser.add_argument("--outputs", type=Path, default=Path(os.environ.get("SPOT_OUTPUTS", "outputs")))
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("options", nargs="*", help="options of spot.train")
    arguments = parser.parse_args(words)
    folder = arguments.outputs / arguments.study
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'study.db'}",
        study_name=arguments.study,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=arguments.seed, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3),
    )
    take_up(study)
    enough = optuna.study.MaxTrialsCallback(arguments.trials, states=OVER)
    if len(study.get_trials(states=OVER)) < arguments.trials:
        try:
            study.optimize(lambda trial: run_trial(trial, arguments), callbacks=[enough])
        except RuntimeError as error:
            raise SystemExit(f"error: {error}") from None
    best = study.best_trial
    decay = 1 - best.params["1 - teacher.decay"]
    print(
        f"best of {len(study.get_trials(states=OVER))} trials, {best.value:.4f}: "
        f"teacher.threshold={best.params['teacher.threshold']:.4g} teacher.window={best.params['teacher.window']:.4g} "
        f"teacher.decay={decay:.6g}"
    )


if __name__ == "__main__":
    main()
