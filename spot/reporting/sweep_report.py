"""A sweep's jobs side by side: what was swept, how the training went, and the scores."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from rich import box
from rich.console import Console
from rich.table import Table

from spot.evaluation.evaluation_result import OPE_MEASURES, VOT_LT_MEASURES, VOT_MEASURES
from spot.reporting.plots import STYLE, _figure, _save, _styles

TRAINING = {"epoch": "Epochs", "explored_fraction": "Explored", "pseudo_label_iou": "Label IoU"}
TITLES = {m.key: m.title for m in (*OPE_MEASURES, *VOT_MEASURES, *VOT_LT_MEASURES)} | TRAINING
SHOWN = ("success", "precision", "ao", "sr50", "eao", "accuracy", "robustness", "f1", "recall")
"""The scores that the terminal and the Markdown table show; sweep.csv has all."""


@dataclass(frozen=True)
class JobRow:
    """One job.

    Attributes:
        job: its name.
        swept: its values of the swept keys, as they were typed.
        tracker: name of the results that were evaluated, None where there are none.
        training: of the last epoch: finished epochs, explored share, IoU of the epoch's pseudo labels with the annotation.
        scores: measure to value, shares as fractions of 1.
    """

    job: str
    swept: Mapping[str, str]
    tracker: str | None = None
    training: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        return {**self.training, **self.scores}


def latest_trackers(jobs: Iterable[str], sweep: str, results: Sequence[str]) -> dict[str, str]:
    """Of each job with results, the name of those of its last epoch; the teacher's before the student's.

    Args:
        jobs: their names.
        sweep: name of the sweep.
        results: names of all results of the benchmark: `<sweep>_<job>_<model>_e<epoch>`.
    """
    found = {}
    for job in jobs:
        own = [re.fullmatch(rf"{re.escape(f'{sweep}_{job}')}(?:_(teacher|student))?_e(\d+)", name) for name in results]
        ranked = sorted((int(m[2]), m[1] != "student", m[0]) for m in own if m)
        if ranked:
            found[job] = ranked[-1][2]
    return found


def last_epoch(metrics: Path) -> dict[str, float]:
    """The training columns of a run's metrics.csv, of its last epoch; empty where there is none."""
    if not metrics.is_file():
        return {}
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return {}
    last = {key: float(rows[-1][key]) for key in TRAINING if rows[-1].get(key)}
    return {**last, "epoch": last["epoch"] + 1}


def write_sweep(rows: Sequence[JobRow], title: str, output: Path) -> list[Path]:
    """Write sweep.csv and sweep.md, and the plot sweep.png and .pdf where there is something to draw."""
    output.mkdir(parents=True, exist_ok=True)
    rows, keys, columns = in_order(rows), _keys(rows), _columns(rows)
    with (output / "sweep.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["job", *keys, "tracker", *columns])
        for row in rows:
            swept = [row.swept.get(key, "") for key in keys]
            writer.writerow([row.job, *swept, row.tracker or "", *(row.numbers.get(c, "") for c in columns)])
    shown = _shown(columns)
    lines = [f"**{title}**", "", f"| {' | '.join([*keys, *(TITLES.get(c, c) for c in shown)])} |"]
    lines.append("|" + "---|" * len(keys) + "---:|" * len(shown))
    lines += [f"| {' | '.join(_cells(row, keys, shown))} |" for row in rows]
    (output / "sweep.md").write_text("\n".join(lines) + "\n")
    plot = _plot(rows, title, output / "sweep")
    return [output / "sweep.csv", output / "sweep.md"] + ([plot] if plot else [])


def print_sweep(rows: Sequence[JobRow], title: str, console: Console | None = None) -> None:
    """Print the table."""
    rows, keys, shown = in_order(rows), _keys(rows), _shown(_columns(rows))
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for key in keys:
        table.add_column(key)
    for column in shown:
        table.add_column(TITLES.get(column, column), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, keys, shown))
    (console or Console()).print(table)


def in_order(rows: Sequence[JobRow]) -> list[JobRow]:
    """By the swept values, numbers by their size."""

    def place(value: str) -> tuple[bool, float, str]:
        return (False, float(value), "") if _is_number(value) else (True, 0.0, value)

    keys = _keys(rows)
    return sorted(rows, key=lambda row: [place(row.swept.get(key, "")) for key in keys])


def _keys(rows: Sequence[JobRow]) -> list[str]:
    return sorted({key for row in rows for key in row.swept})


def _columns(rows: Sequence[JobRow]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row.numbers))


def _shown(columns: Sequence[str]) -> list[str]:
    return [column for column in columns if column in TRAINING or column in SHOWN]


def _cells(row: JobRow, keys: Sequence[str], columns: Sequence[str]) -> list[str]:
    return [
        *(row.swept.get(key, "-") for key in keys),
        *(_number(column, row.numbers.get(column)) for column in columns),
    ]


def _number(column: str, value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    if column == "epoch":
        return f"{value:.0f}"
    return f"{value:.3f}" if column in ("robustness", "failures") else f"{100 * value:.1f}"


def _plot(rows: Sequence[JobRow], title: str, stem: Path) -> Path | None:
    """The main score over a swept key that has numbers, else over the first; a line for each choice of the others."""
    columns = _columns(rows)
    measure = next((c for c in (*SHOWN, "pseudo_label_iou", "explored_fraction") if c in columns), None)
    keys = [key for key in _keys(rows) if len({row.swept.get(key) for row in rows}) > 1]
    if measure is None or not keys:
        return None
    x_key = next((key for key in keys if all(_is_number(row.swept.get(key, "")) for row in rows)), keys[0])
    numeric = all(_is_number(row.swept.get(x_key, "")) for row in rows)
    lines: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        if (value := row.numbers.get(measure)) is not None and np.isfinite(value):
            others = ", ".join(f"{key}={row.swept.get(key, '-')}" for key in keys if key != x_key)
            lines.setdefault(others, []).append((row.swept.get(x_key, "-"), value))
    places = sorted({x for points in lines.values() for x, _ in points}, key=float if numeric else None)
    at = {place: float(place) if numeric else i for i, place in enumerate(places)}
    with rc_context(STYLE):
        figure, axes = _figure(5.6, 3.8)
        for (label, points), (colour, dash) in zip(lines.items(), _styles(), strict=False):
            points.sort(key=lambda p: at[p[0]])
            x, y = [at[p] for p, _ in points], [v for _, v in points]
            axes.plot(x, y, color=colour, linestyle=dash, marker="o", markersize=4, label=label or None)
        axes.set(title=title, xlabel=x_key, ylabel=TITLES.get(measure, measure))
        axes.set_xticks([at[place] for place in places], places)
        if len(lines) > 1:
            axes.legend(loc="best")
        return _save(figure, stem)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
