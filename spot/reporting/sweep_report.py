"""The jobs of a sweep in one table: swept options, training, scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spot.evaluation.evaluation_result import OPE_MEASURES, VOT_LT_MEASURES, VOT_MEASURES, Measure
from spot.reporting.escaping import markdown, plot_text
from spot.reporting.plots import draw_lines, save
from spot.reporting.tables import as_csv, markdown_table, print_cells, write_text

if TYPE_CHECKING:
    import pandas as pd

TRAINING = (
    Measure("epoch", "Epochs", "finished epochs", is_fraction=False, digits=0),
    Measure("explored_fraction", "Explored", "fraction of the frames with a pseudo label"),
    Measure("pseudo_label_iou", "Label IoU", "mean IoU of the last epoch's pseudo labels with the annotation"),
)
MEASURES = {m.key: m for m in (*TRAINING, *OPE_MEASURES, *VOT_MEASURES, *VOT_LT_MEASURES)}
SHOWN = ("success", "precision", "ao", "sr50", "eao", "accuracy", "robustness", "f1", "recall")
"""The scores in the terminal and the Markdown table; sweep.csv has all."""


@dataclass(frozen=True)
class JobRow:
    """One job.

    Attributes:
        job: its name.
        swept: its values of the swept keys, as they were written.
        tracker: name of the results that were evaluated, None where there are none.
        training: key of `TRAINING` to value after the last epoch.
        scores: key of a measure to value, fractions of 1.
    """

    job: str
    swept: Mapping[str, str]
    tracker: str | None = None
    training: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


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
    return {m.key: float(last[m.key]) for m in TRAINING if last.get(m.key)}


def write_sweep(rows: Sequence[JobRow], title: str, output: Path) -> list[Path]:
    """Write sweep.csv and sweep.md, and the plot sweep.png and .pdf where there is something to draw."""
    keys, frame = swept_keys(rows), frame_of_jobs(rows)
    write_text(output / "sweep.csv", as_csv(frame))
    cells = _cells(frame, keys).map(markdown).rename(columns=markdown)
    table = markdown_table(cells, len(keys))
    write_text(output / "sweep.md", "\n".join([f"**{markdown(title)}**", "", *table]) + "\n")
    plot = _plot(frame, keys, title, output / "sweep")
    return [output / "sweep.csv", output / "sweep.md"] + ([plot] if plot else [])


def print_sweep(rows: Sequence[JobRow], title: str, file: Path | None = None, width: int | None = None) -> None:
    """Print the table; `file` is where all columns can be found, `width` as for `print_cells`."""
    keys = swept_keys(rows)
    print(f"{title}\n")
    print_cells(_cells(frame_of_jobs(rows), keys), len(keys), file, width)


def swept_keys(rows: Sequence[JobRow]) -> list[str]:
    """Return the swept keys in alphabetical order."""
    return sorted({key for row in rows for key in row.swept})


def frame_of_jobs(rows: Sequence[JobRow]) -> pd.DataFrame:
    """Make the frame of a sweep: columns `job`, the swept keys, `tracker`, and the keys of all numbers.

    Rows are sorted by the swept values: numbers by their size, before texts.
    """
    import pandas as pd

    def place(row: JobRow) -> list[tuple[float, str]]:
        values = [row.swept.get(key, "") for key in keys]
        return [(float(value), "") if _is_number(value) else (float("inf"), value) for value in values]

    keys = swept_keys(rows)
    numbers = dict.fromkeys(key for row in rows for key in (*row.training, *row.scores))
    content = [
        {"job": row.job, **row.swept, "tracker": row.tracker, **row.training, **row.scores}
        for row in sorted(rows, key=place)
    ]
    return pd.DataFrame(content, columns=["job", *keys, "tracker", *numbers])


def _cells(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Make the frame of text that people read: the swept keys, the training, and the scores in `SHOWN`."""
    cells = frame[[*keys]].fillna("-")
    for measure in MEASURES.values():
        if measure.key in frame and (measure in TRAINING or measure.key in SHOWN):
            brief = measure._replace(digits=1) if measure.is_fraction else measure
            cells[measure.title] = frame[measure.key].map(brief.show)
    return cells


def _plot(frame: pd.DataFrame, keys: Sequence[str], title: str, stem: Path) -> Path | None:
    """Plot the main score over a swept key with numbers, else over the first; a line for each choice of the others."""
    import pandas as pd

    measure = next((key for key in (*SHOWN, "pseudo_label_iou", "explored_fraction") if key in frame), None)
    varied = [key for key in keys if frame[key].nunique(dropna=False) > 1]
    if measure is None or not varied:
        return None
    swept = frame[varied].fillna("-")
    numeric = [key for key in varied if swept[key].map(_is_number).all()]
    key, *_ = numeric or varied
    x = swept[key].astype(float) if numeric else pd.Series(pd.factorize(swept[key], sort=True)[0])
    others = swept.drop(columns=key).apply(lambda row: ", ".join(f"{k}={v}" for k, v in row.items()), axis=1)
    points = pd.DataFrame({"x": x, "y": frame[measure], "text": swept[key]}).dropna()
    labels = others[points.index] if len(varied) > 1 else pd.Series("", points.index)
    lines = {label: dict(zip(line.x, line.y, strict=True)) for label, line in points.groupby(labels, sort=False)}
    figure = draw_lines(lines, title, key, MEASURES[measure].title)
    figure.axes[0].set_xticks(points.x, points.text.map(plot_text))
    return save(figure, stem)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
