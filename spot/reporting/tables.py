"""The tables of an evaluation, all made from one pandas frame: terminal, CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len

from spot.evaluation.evaluation_result import SPEED, EvaluationResult, Measure, TrackerOutcome
from spot.reporting.escaping import latex, markdown, one_line
from spot.runtime.atomic_files import replacing
from spot.runtime.csv_cells import csv_cell

if TYPE_CHECKING:
    import pandas as pd

MARK = "*"
"""Follows the name of a tracker that was evaluated on a part of the videos only."""
TERMINAL_MEASURES = ("success", "precision", "normalized_precision", "ao", "sr50", "fps", "sr75")
"""The columns of one-pass evaluation that the terminal shows; the files have all."""


def columns_of(outcome: EvaluationResult) -> tuple[Measure, ...]:
    """Return the measures of the benchmark, and the speed where a tracker wrote times."""
    timed = any("fps" in row.values for row in outcome.trackers)
    return outcome.measures + ((SPEED,) if timed else ())


def frame_of(outcome: EvaluationResult) -> pd.DataFrame:
    """Make the frame of numbers: a row a tracker; columns are measure keys, `videos`, `missing`, `<key>_low`, `<key>_high`."""
    import pandas as pd

    keys = [m.key for m in columns_of(outcome)]
    rows = []
    for row in outcome.trackers:
        ends = {
            f"{k}_{end}": v for k, pair in row.intervals.items() for end, v in zip(("low", "high"), pair, strict=True)
        }
        rows.append(
            {k: row.values.get(k, np.nan) for k in keys}
            | {"videos": len(row.videos), "missing": len(row.missing)}
            | ends
        )
    return pd.DataFrame(rows, index=pd.Index([row.name for row in outcome.trackers], name="tracker"))


def cells_of(outcome: EvaluationResult, short: bool = False) -> pd.DataFrame:
    """Make the frame of text that people read: columns Tracker, the titles of the measures, Videos.

    Args:
        outcome: the evaluation.
        short: only the columns of `TERMINAL_MEASURES`, and the interval of the main measure alone, as half its width.
    """
    import pandas as pd

    shown = [m for m in columns_of(outcome) if not short or len(outcome.measures) < 6 or m.key in TERMINAL_MEASURES]
    rows = [
        [display_name(row), *(_cell(row, m, short, m is outcome.main) for m in shown), _videos(row)]
        for row in outcome.trackers
    ]
    return pd.DataFrame(rows, columns=["Tracker", *(m.title for m in shown), "Videos"])


def best_of(outcome: EvaluationResult) -> pd.DataFrame:
    """Mark the best of each measure among at least two trackers that have all videos: bool, laid out as `frame_of`."""
    import pandas as pd

    frame, measures = frame_of(outcome), columns_of(outcome)
    values = frame[[m.key for m in measures]].where(frame["missing"] == 0)
    top = {m.key: values[m.key].min() if m.ascending else values[m.key].max() for m in measures}
    return values.eq(pd.Series(top)) & (values.count() > 1)


def display_name(row: TrackerOutcome) -> str:
    """Return the name of a tracker, marked where videos are missing."""
    return row.name + (f" {MARK}" if row.missing else "")


def print_table(outcome: EvaluationResult, file: Path | None = None, width: int | None = None) -> None:
    """Print the sorted table with its foot; `file` is where all columns can be found, `width` as for `print_cells`."""
    print(f"{one_line(outcome.benchmark)}, protocol {outcome.protocol}\n")
    print_cells(cells_of(outcome, short=True), 1, file, width)
    print(*foot(outcome), sep="\n")


def print_cells(cells: pd.DataFrame, texts: int, file: Path | None = None, width: int | None = None) -> None:
    """Print a frame of text. No cell is ever cut: a narrow terminal gets fewer columns, and a line names the others.

    Args:
        cells: what to print.
        texts: number of first columns that hold text; they always stay, and so does the next one.
        file: where all columns can be found.
        width: characters in a line; None for the terminal's, and no limit in a pipe or file.
    """
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    columns = {name: [one_line(cell) for cell in (name, *cells[name])] for name in cells}
    widths = {name: max(map(cell_len, column)) + 2 for name, column in columns.items()}
    shown, left_out = list(columns), []
    while len(shown) > texts + 1 and sum(widths[name] for name in shown) > width:
        left_out.append(shown.pop())
    for row in range(len(cells) + 1):
        words = []
        for i, name in enumerate(shown):
            blanks = " " * (widths[name] - cell_len(columns[name][row]))
            words.append(columns[name][row] + blanks if i < texts else blanks + columns[name][row])
        print("".join(words).rstrip())
        if row == 0:
            print("-" * min(width, sum(widths[name] for name in shown)))
    print()
    if left_out:
        where = f"; all columns are in {file}" if file else ""
        print(f"Columns left out because the terminal is narrow: {', '.join(reversed(left_out))}{where}.")


def foot(outcome: EvaluationResult) -> list[str]:
    """Sentences that belong under every table: whose rules were used, and what is special about a row."""
    lines = [f"Protocol {outcome.protocol}: the rules of {outcome.source}. Fractions in percent."]
    lines += [
        f"{MARK} {row.name} has no results for {_some(row.missing)}: evaluated on the other {len(row.videos)} videos."
        for row in outcome.trackers
        if row.missing
    ]
    lines += [
        f"{row.name}: averaged over up to {row.repetitions} repetitions of each video."
        for row in outcome.trackers
        if row.repetitions > 1
    ]
    if outcome.comparison is not None:
        lines.append(outcome.comparison.sentence + ".")
    return [one_line(line) for line in lines + outcome.notes]


def write_tables(outcome: EvaluationResult, output: Path, per_video: bool) -> None:
    """Write summary.json, table.{csv,json,md,tex}, and attributes.csv and videos.csv where they apply."""
    import pandas as pd

    write_text(output / "summary.json", as_json(outcome.summary()) + "\n")
    write_text(output / "table.csv", as_csv(frame_of(outcome).reset_index()))
    write_text(output / "table.json", as_json(_content(outcome)))
    write_text(output / "table.md", _markdown(outcome))
    write_text(output / "table.tex", _latex(outcome))
    if outcome.attribute_sizes:
        columns = {outcome.attribute_unit: outcome.attribute_sizes}
        frame = pd.DataFrame(columns | {row.name: row.attributes for row in outcome.trackers})
        frame = frame.reindex(list(outcome.attribute_sizes)).rename_axis("attribute").reset_index()
        write_text(output / "attributes.csv", as_csv(frame, "%.6f"))
    if per_video:
        frames = [pd.DataFrame({"video": row.videos, "tracker": row.name, **row.per_video}) for row in outcome.trackers]
        frame = pd.concat(frames).sort_values(["video", "tracker"])
        write_text(output / "videos.csv", as_csv(frame, "%.6f"))


def as_csv(frame: pd.DataFrame, floats: str | None = None) -> str:
    """Convert to CSV; text that a spreadsheet would take for a formula gets an apostrophe."""
    safe = frame.map(lambda cell: csv_cell(cell) if isinstance(cell, str) else cell).rename(columns=csv_cell)
    return safe.to_csv(index=False, lineterminator="\n", float_format=floats)


def markdown_table(cells: pd.DataFrame, texts: int, bold: set[tuple[int, str]] | None = None) -> list[str]:
    """Convert a frame of text to the lines of a Markdown table; the first `texts` columns hold text."""
    lines = [f"| {' | '.join(map(markdown, cells))} |", "|" + "---|" * texts + "---:|" * (len(cells.columns) - texts)]
    for i, row in enumerate(cells.to_numpy()):
        words = [
            f"**{markdown(c)}**" if (i, n) in (bold or ()) else markdown(c) for n, c in zip(cells, row, strict=True)
        ]
        lines.append(f"| {' | '.join(words)} |")
    return lines


def write_text(path: Path, text: str) -> None:
    """Write a file atomically. Raise a SpotError that names it."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def as_json(value: object) -> str:
    """Convert to JSON, which has no NaN: null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple | np.ndarray):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(plain(value), indent=1, allow_nan=False)


def _cell(row: TrackerOutcome, measure: Measure, short: bool, main: bool) -> str:
    text = measure.show(row.values.get(measure.key))
    if measure.key not in row.intervals or (short and not main):
        return text
    low, high = row.intervals[measure.key]
    return (
        f"{text} ±{measure.show((high - low) / 2)}" if short else f"{text} [{measure.show(low)}, {measure.show(high)}]"
    )


def _videos(row: TrackerOutcome) -> str:
    total = len(row.videos) + len(row.missing)
    return f"{len(row.videos)}/{total}" if row.missing else str(total)


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _content(outcome: EvaluationResult) -> dict[str, Any]:
    return {
        "benchmark": outcome.benchmark,
        "protocol": outcome.protocol,
        "source": outcome.source,
        "measures": {m.key: m.meaning for m in columns_of(outcome)},
        "trackers": {
            row.name: {
                "values": row.values,
                "videos": len(row.videos),
                "missing": row.missing,
                "repetitions": row.repetitions,
                "intervals": row.intervals,
                "curves": {key: np.round(curve, 6).tolist() for key, curve in row.curves.items()},
            }
            for row in outcome.trackers
        },
        "attributes": {row.name: row.attributes for row in outcome.trackers},
        "comparison": None if outcome.comparison is None else vars(outcome.comparison),
        "notes": foot(outcome),
    }


def _bold(outcome: EvaluationResult) -> set[tuple[int, str]]:
    best = best_of(outcome)
    return {(i, m.title) for m in columns_of(outcome) for i, wins in enumerate(best[m.key]) if wins}


def _markdown(outcome: EvaluationResult) -> str:
    table = markdown_table(cells_of(outcome), 1, _bold(outcome))
    return (
        "\n".join([f"**{markdown(outcome.benchmark)}**", "", *table, "", *(f"{markdown(t)}  " for t in foot(outcome))])
        + "\n"
    )


def _latex(outcome: EvaluationResult) -> str:
    cells = cells_of(outcome).map(latex)
    for i, title in _bold(outcome):
        cells.loc[i, title] = f"\\textbf{{{cells.loc[i, title]}}}"
    notes = [f"{one_line(outcome.benchmark)}; needs \\usepackage{{booktabs}}", *foot(outcome)]
    layout = "l" + "r" * (len(cells.columns) - 1)
    table = cells.rename(columns=latex).to_latex(index=False, escape=False, column_format=layout)
    return "".join(f"% {note}\n" for note in notes) + table
