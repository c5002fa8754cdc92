"""A sweep's jobs side by side: what was swept, how the training went, and the scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context

from spot.evaluation.evaluation_result import OPE_MEASURES, VOT_LT_MEASURES, VOT_MEASURES
from spot.reporting.escaping import plot_text
from spot.reporting.plots import STYLE, legend_below, line_styles, new_figure, save
from spot.reporting.tables import as_csv, markdown_table, print_cells, write_text

if TYPE_CHECKING:
    import pandas as pd

TRAINING = {"epoch": "Epochs", "explored_fraction": "Explored", "pseudo_label_iou": "Label IoU"}
TITLES = {m.key: m.title for m in (*OPE_MEASURES, *VOT_MEASURES, *VOT_LT_MEASURES)} | TRAINING
SHOWN = ("success", "precision", "ao", "sr50", "eao", "accuracy", "robustness", "f1", "recall")
"""The scores in the terminal and the Markdown table; sweep.csv has all."""


@dataclass(frozen=True)
class JobRow:
    """One job.

    Attributes:
        job: its name.
        swept: its values of the swept keys, as they were written.
        tracker: name of the results that were evaluated, None where there are none.
        training: of the last epoch: finished epochs, explored fraction, IoU of the epoch's pseudo labels with the annotation.
        scores: measure to value, fractions of 1.
    """

    job: str
    swept: Mapping[str, str]
    tracker: str | None = None
    training: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        return {**self.training, **self.scores}


def epochs_of(run: str, results: Iterable[str]) -> list[tuple[int, bool, str]]:
    """Find the results of a run among names of trackers: (epoch, of the teacher, name), sorted.

    Only `<run>_e<epoch>`, `<run>_teacher_e<epoch>` and `<run>_student_e<epoch>` belong to the run: `demo_big_e010` is not
    one of `demo`.
    """
    found = (re.fullmatch(rf"{re.escape(run)}(?:_(teacher|student))?_e(\d+)", name) for name in results)
    return sorted((int(m[2]), m[1] != "student", m[0]) for m in found if m)


def latest_trackers(jobs: Iterable[str], sweep: str, results: Sequence[str]) -> dict[str, str]:
    """Name the results of the last epoch of each job that has results; the teacher's before the student's.

    Args:
        jobs: names of the jobs.
        sweep: name of the sweep.
        results: names of all results of the benchmark: `<sweep>_<job>_<model>_e<epoch>`.
    """
    found = {job: epochs_of(f"{sweep}_{job}", results) for job in jobs}
    return {job: epochs[-1][2] for job, epochs in found.items() if epochs}


def last_epoch(rows: Mapping[int, Mapping[str, str]]) -> dict[str, float]:
    """Pick the training columns of the last row of a run's metrics.csv; empty where there is none."""
    last = rows[max(rows)] if rows else {}
    return {key: float(last[key]) for key in TRAINING if last.get(key)}


def write_sweep(rows: Sequence[JobRow], title: str, output: Path) -> list[Path]:
    """Write sweep.csv and sweep.md, and the plot sweep.png and .pdf where there is something to draw."""
    import pandas as pd

    rows, keys, columns = in_order(rows), _keys(rows), _columns(rows)
    frame = pd.DataFrame(
        [
            [row.job, *(row.swept.get(k) for k in keys), row.tracker, *(row.numbers.get(c) for c in columns)]
            for row in rows
        ],
        columns=["job", *keys, "tracker", *columns],
    )
    write_text(output / "sweep.csv", as_csv(frame))
    table = markdown_table(_cells(rows, keys, _columns(rows, shown=True)), len(keys))
    write_text(output / "sweep.md", "\n".join([f"**{title}**", "", *table]) + "\n")
    plot = _plot(rows, title, output / "sweep")
    return [output / "sweep.csv", output / "sweep.md"] + ([plot] if plot else [])


def print_sweep(rows: Sequence[JobRow], title: str, file: Path | None = None, width: int | None = None) -> None:
    """Print the table; `file` is where all columns can be found, `width` as for `print_cells`."""
    rows, keys = in_order(rows), _keys(rows)
    print(f"{title}\n")
    print_cells(_cells(rows, keys, _columns(rows, shown=True)), len(keys), file, width)


def in_order(rows: Sequence[JobRow]) -> list[JobRow]:
    """Sort by the swept values, numbers by their size."""

    def place(value: str) -> tuple[bool, float, str]:
        return (False, float(value), "") if _is_number(value) else (True, 0.0, value)

    return sorted(rows, key=lambda row: [place(row.swept.get(key, "")) for key in _keys(rows)])


def _keys(rows: Sequence[JobRow]) -> list[str]:
    return sorted({key for row in rows for key in row.swept})


def _columns(rows: Sequence[JobRow], shown: bool = False) -> list[str]:
    columns = dict.fromkeys(column for row in rows for column in row.numbers)
    return [column for column in columns if not shown or column in TRAINING or column in SHOWN]


def _cells(rows: Sequence[JobRow], keys: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return the frame of text: a column a swept key, then the numbers; the job's name where nothing is swept."""
    import pandas as pd

    cells = [
        [*(row.swept.get(k, "-") for k in keys), *(_number(c, row.numbers.get(c)) for c in columns)] for row in rows
    ]
    return pd.DataFrame(cells, columns=[*keys, *(TITLES.get(c, c) for c in columns)])


def _number(column: str, value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    if column == "epoch":
        return f"{value:.0f}"
    return f"{value:.3f}" if column in ("robustness", "failures") else f"{100 * value:.1f}"


def _plot(rows: Sequence[JobRow], title: str, stem: Path) -> Path | None:
    """Plot the main score over a swept key with numbers, else over the first; a line for each choice of the others."""
    columns = _columns(rows)
    measure = next((c for c in (*SHOWN, "pseudo_label_iou", "explored_fraction") if c in columns), None)
    keys = [key for key in _keys(rows) if len({row.swept.get(key) for row in rows}) > 1]
    if measure is None or not keys:
        return None
    numeric_keys = [key for key in keys if all(_is_number(row.swept.get(key, "")) for row in rows)]
    x_key = (numeric_keys or keys)[0]
    lines: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        if (value := row.numbers.get(measure)) is not None and np.isfinite(value):
            others = ", ".join(f"{key}={row.swept.get(key, '-')}" for key in keys if key != x_key)
            lines.setdefault(others, []).append((row.swept.get(x_key, "-"), value))
    places = sorted({x for points in lines.values() for x, _ in points}, key=float if numeric_keys else None)
    at = {place: float(place) if numeric_keys else i for i, place in enumerate(places)}
    with rc_context(STYLE):
        figure, axes = new_figure(5.6, 3.8)
        for (label, points), look in zip(lines.items(), line_styles(), strict=False):
            points.sort(key=lambda p: at[p[0]])
            x, y = [at[p] for p, _ in points], [v for _, v in points]
            axes.plot(x, y, **look, marker="o", markersize=4, label=plot_text(label) or None)
        axes.set(title=plot_text(title), xlabel=plot_text(x_key), ylabel=TITLES.get(measure, measure))
        axes.set_xticks([at[place] for place in places], list(map(plot_text, places)))
        if len(lines) > 1:
            legend_below(axes)
        return save(figure, stem)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
