"""The tables of an outcome: for the terminal, for spreadsheets, for a README and for a paper."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spot.evaluation.evaluation_result import SPEED, EvaluationResult, Measure, TrackerOutcome

MARK = "*"
"""Stands behind a tracker that was evaluated on a part of the videos only."""
TERMINAL_MEASURES = ("success", "precision", "normalized_precision", "ao", "sr50", "fps", "sr75")
"""The columns of one-pass evaluation that fit a terminal; the files have all."""


def columns_of(outcome: EvaluationResult) -> tuple[Measure, ...]:
    """The measures of the benchmark, and the speed where a tracker wrote times."""
    timed = any("fps" in row.values for row in outcome.trackers)
    return outcome.measures + ((SPEED,) if timed else ())


def print_table(outcome: EvaluationResult, console: Console | None = None) -> None:
    """Print the sorted table with its foot, leaving out last columns where the terminal is narrow."""
    console = console or Console()
    shown = [m for m in columns_of(outcome) if len(outcome.measures) < 6 or m.key in TERMINAL_MEASURES]
    while len(shown) > 1 and console.measure(_terminal_table(outcome, shown)).minimum > console.width:
        shown.pop()
    console.print(_terminal_table(outcome, shown))
    for line in foot(outcome):
        console.print(line, style="dim", highlight=False, markup=False)


def _terminal_table(outcome: EvaluationResult, shown: Sequence[Measure]) -> Table:
    title = f"{outcome.benchmark}, protocol {outcome.protocol}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    longest = max(len(_name(row)) for row in outcome.trackers)
    table.add_column("Tracker", overflow="fold", min_width=min(longest, 24))
    for measure in shown:
        table.add_column(measure.title, justify="right", no_wrap=True)
    table.add_column("Videos", justify="right", no_wrap=True)
    for row in outcome.trackers:
        cells = [
            Text(
                _short_cell(row, m) if m is outcome.main else m.show(row.values.get(m.key)),
                style="bold" if _is_best(outcome, row, m) else "",
            )
            for m in shown
        ]
        table.add_row(_name(row), *cells, _videos(row))
    return table


def foot(outcome: EvaluationResult) -> list[str]:
    """Sentences that belong under every table: whose rules were used, and what is special about a row."""
    lines = [f"Protocol {outcome.protocol}: the rules of {outcome.source}. Shares in percent."]
    lines += [
        f"{MARK} {row.name} has no results for {_some(row.missing)}: evaluated on the other {len(row.videos)} videos."
        for row in outcome.trackers
        if row.missing
    ]
    if outcome.comparison is not None:
        lines.append(outcome.comparison.sentence + ".")
    return lines + outcome.notes


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _name(row: TrackerOutcome) -> str:
    return row.name + (f" {MARK}" if row.missing else "")


def _videos(row: TrackerOutcome) -> str:
    total = len(row.videos) + len(row.missing)
    return f"{len(row.videos)}/{total}" if row.missing else str(total)


def _short_cell(row: TrackerOutcome, measure: Measure) -> str:
    """The value, with half the width of its interval where that is the main measure's."""
    text = measure.show(row.values.get(measure.key))
    if measure.key in row.intervals:
        low, high = row.intervals[measure.key]
        text += f" ±{measure.show((high - low) / 2)}"
    return text


def _cell(row: TrackerOutcome, measure: Measure) -> str:
    text = measure.show(row.values.get(measure.key))
    if measure.key in row.intervals:
        low, high = row.intervals[measure.key]
        text += f" [{measure.show(low)}, {measure.show(high)}]"
    return text


def _is_best(outcome: EvaluationResult, row: TrackerOutcome, measure: Measure) -> bool:
    """Best of at least two rows that were evaluated on all videos."""
    values = [r.values[measure.key] for r in outcome.trackers if not r.missing and measure.key in r.values]
    value = row.values.get(measure.key)
    if len(values) < 2 or value is None or row.missing:
        return False
    return value == (min(values) if measure.ascending else max(values))


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON knows no NaN."""
    return {key: value if np.isfinite(value) else None for key, value in values.items()}


def _comma_separated(outcome: EvaluationResult) -> str:
    columns = columns_of(outcome)
    header = ["tracker", *(m.key for m in columns), "videos", "missing"]
    with_intervals = [m.key for m in columns if any(m.key in row.intervals for row in outcome.trackers)]
    header += [f"{key}_{end}" for key in with_intervals for end in ("low", "high")]
    rows = [
        [
            row.name,
            *(row.values.get(m.key, "") for m in columns),
            len(row.videos),
            len(row.missing),
            *(end for key in with_intervals for end in row.intervals.get(key, ("", ""))),
        ]
        for row in outcome.trackers
    ]
    return _as_csv(header, rows)


def _as_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _as_json(outcome: EvaluationResult) -> str:
    content = {
        "benchmark": outcome.benchmark,
        "protocol": outcome.protocol,
        "source": outcome.source,
        "measures": {m.key: m.meaning for m in columns_of(outcome)},
        "trackers": {
            row.name: {
                "values": _finite(row.values),
                "videos": len(row.videos),
                "missing": list(row.missing),
                "intervals": {key: list(ends) for key, ends in row.intervals.items()},
                "curves": {key: np.round(curve, 6).tolist() for key, curve in row.curves.items()},
            }
            for row in outcome.trackers
        },
        "attributes": {row.name: _finite(row.attributes) for row in outcome.trackers},
        "comparison": None if outcome.comparison is None else vars(outcome.comparison),
        "notes": foot(outcome),
    }
    return json.dumps(content, indent=1)


def _markdown(outcome: EvaluationResult) -> str:
    columns = columns_of(outcome)
    lines = [
        "| Tracker | " + " | ".join(m.title for m in columns) + " | Videos |",
        "|---|" + "---:|" * (len(columns) + 1),
    ]
    for row in outcome.trackers:
        cells = [_bold(_cell(row, m), _is_best(outcome, row, m), "**{}**") for m in columns]
        lines.append(f"| {_name(row)} | " + " | ".join(cells) + f" | {_videos(row)} |")
    return "\n".join([f"**{outcome.benchmark}**", "", *lines, "", *(f"{line}  " for line in foot(outcome))]) + "\n"


def _latex(outcome: EvaluationResult) -> str:
    columns = columns_of(outcome)
    lines = [
        f"% {outcome.benchmark}; needs \\usepackage{{booktabs}}",
        *(f"% {line}" for line in foot(outcome)),
        "\\begin{tabular}{l" + "r" * len(columns) + "}",
        "\\toprule",
        "Tracker & " + " & ".join(_escaped(m.title) for m in columns) + " \\\\",
        "\\midrule",
    ]
    for row in outcome.trackers:
        cells = [_bold(_cell(row, m), _is_best(outcome, row, m), "\\textbf{{{}}}") for m in columns]
        lines.append(f"{_escaped(_name(row))} & " + " & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _bold(text: str, best: bool, form: str) -> str:
    return form.format(text) if best else text


def _escaped(text: str) -> str:
    return "".join(
        {"_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}.get(c, c) for c in text
    )


def per_video_table(outcome: EvaluationResult) -> str:
    """CSV: a row a video and tracker."""
    keys = [m.key for m in outcome.measures if any(m.key in row.per_video for row in outcome.trackers)]
    rows = [
        [video, row.name, *(f"{row.per_video[key][v]:.6f}" for key in keys)]
        for row in outcome.trackers
        for v, video in enumerate(row.videos)
    ]
    return _as_csv(["video", "tracker", *keys], sorted(rows))


def attribute_table(outcome: EvaluationResult) -> str:
    """CSV: a row an attribute, a column a tracker, values of the main measure."""
    names = [row.name for row in outcome.trackers]
    rows = [
        [
            attribute,
            size,
            *(f"{row.attributes[attribute]:.6f}" if attribute in row.attributes else "" for row in outcome.trackers),
        ]
        for attribute, size in outcome.attribute_sizes.items()
    ]
    return _as_csv(["attribute", outcome.attribute_unit, *names], rows)


def write_tables(outcome: EvaluationResult, output: Path, per_video: bool) -> None:
    """Write summary.json, table.{csv,json,md,tex}, and attributes.csv and videos.csv where they apply."""
    writers: dict[str, Callable[[EvaluationResult], str]] = {
        "table.csv": _comma_separated,
        "table.json": _as_json,
        "table.md": _markdown,
        "table.tex": _latex,
    }
    if outcome.attribute_sizes:
        writers["attributes.csv"] = attribute_table
    if per_video:
        writers["videos.csv"] = per_video_table
    for name, write in writers.items():
        (output / name).write_text(write(outcome), encoding="utf-8")
    (output / "summary.json").write_text(
        json.dumps({name: _finite(values) for name, values in outcome.summary().items()}, indent=1) + "\n",
        encoding="utf-8",
    )
