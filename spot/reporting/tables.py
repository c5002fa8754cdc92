"""The tables of an evaluation, all made from one pandas frame: terminal, CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import Box
from rich.console import Console
from rich.table import Table

from spot.evaluation.evaluation_result import SPEED, EvaluationResult, Measure, TrackerResult
from spot.reporting.escaping import latex, markdown, one_line
from spot.runtime.atomic_files import replacing
from spot.runtime.csv_cells import csv_cell

if TYPE_CHECKING:
    import pandas as pd

MARK = "*"
"""Follows the name of a tracker that was evaluated on a part of the videos only."""
UNLIMITED = 100_000
HEAD_LINE = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line of dashes below the titles, and nothing else."""
TERMINAL_MEASURES = ("success", "precision", "normalized_precision", "ao", "sr50", "fps", "sr75")
"""The columns of one-pass evaluation that the terminal shows; the files have all."""


def columns_of(result: EvaluationResult) -> tuple[Measure, ...]:
    """Return the measures of the benchmark, and the speed where a tracker wrote times."""
    timed = any("fps" in row.values for row in result.trackers)
    return result.measures + ((SPEED,) if timed else ())


def frame_of(result: EvaluationResult) -> pd.DataFrame:
    """Make the frame of numbers: a row a tracker; columns are measure keys, `videos`, `missing`, `<key>_low`, `<key>_high`."""
    import pandas as pd

    rows = {
        row.name: {measure.key: row.values.get(measure.key, np.nan) for measure in columns_of(result)}
        | {"videos": len(row.videos), "missing": len(row.missing)}
        | {f"{key}_low": low for key, (low, _) in row.intervals.items()}
        | {f"{key}_high": high for key, (_, high) in row.intervals.items()}
        for row in result.trackers
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("tracker")


def attributes_of(result: EvaluationResult) -> pd.DataFrame:
    """Make the frame of the main measure by attribute: a row an attribute; columns are its size and the trackers."""
    import pandas as pd

    columns = {result.attribute_unit: result.attribute_sizes} | {row.name: row.attributes for row in result.trackers}
    return pd.DataFrame(columns, index=list(result.attribute_sizes)).rename_axis("attribute")


def videos_of(result: EvaluationResult) -> pd.DataFrame:
    """Make the frame of single videos: a row a video and tracker; columns are `video`, `tracker` and measure keys."""
    import pandas as pd

    frames = [pd.DataFrame({"video": row.videos, "tracker": row.name, **row.per_video}) for row in result.trackers]
    return pd.concat(frames).sort_values(["video", "tracker"])


def scores_of(result: EvaluationResult) -> pd.DataFrame:
    """Make the frame of `result.video_measure`: a row a video, a column a tracker, NaN without a result."""
    assert result.video_measure is not None
    scores = videos_of(result).pivot(index="video", columns="tracker", values=result.video_measure.key)
    return scores[[row.name for row in result.trackers]]


def cells_of(result: EvaluationResult, short: bool = False) -> pd.DataFrame:
    """Make the frame of text that people read: columns Tracker, the titles of the measures, Videos.

    Args:
        result: the evaluation.
        short: only the columns of `TERMINAL_MEASURES`, and the interval of the main measure alone, as half its width.
    """
    import pandas as pd

    shown = [m for m in columns_of(result) if not short or len(result.measures) < 6 or m.key in TERMINAL_MEASURES]
    cells = {"Tracker": [display_name(row) for row in result.trackers]}
    cells |= {m.title: [_cell(row, m, short, m is result.main) for row in result.trackers] for m in shown}
    total = max((len(row.videos) + len(row.missing) for row in result.trackers), default=0)
    videos = [f"{len(row.videos)}/{total}" if row.missing else str(total) for row in result.trackers]
    return pd.DataFrame(cells | {"Videos": videos})


def best_of(result: EvaluationResult) -> pd.DataFrame:
    """Mark the best of each measure among at least two trackers that have all videos: bool, laid out as `frame_of`."""
    import pandas as pd

    frame, measures = frame_of(result), columns_of(result)
    values = frame[[m.key for m in measures]].where(frame["missing"] == 0)
    top = {m.key: values[m.key].min() if m.ascending else values[m.key].max() for m in measures}
    return values.eq(pd.Series(top)) & (values.count() > 1)


def display_name(row: TrackerResult) -> str:
    """Return the name of a tracker, marked where videos are missing."""
    return row.name + (f" {MARK}" if row.missing else "")


def print_table(result: EvaluationResult, file: Path | None = None, width: int | None = None) -> None:
    """Print the sorted table with its foot; `file` is where all columns can be found, `width` as for `print_cells`."""
    print(f"{one_line(result.benchmark)}, protocol {result.protocol}\n")
    print_cells(cells_of(result, short=True), 1, file, width)
    print(*foot(result), sep="\n")


def print_cells(cells: pd.DataFrame, texts: int, file: Path | None = None, width: int | None = None) -> None:
    """Print a frame of text. No cell is ever cut: a narrow terminal gets fewer columns, and a line names the others.

    Args:
        cells: what to print.
        texts: number of first columns that hold text; they always stay, and so does the next one.
        file: where all columns can be found.
        width: characters in a line; None for the terminal's, and no limit in a pipe or file.
    """
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
    console = Console(width=UNLIMITED, highlight=False, markup=False, emoji=False)
    shown = list(cells)
    while console.measure(table := _rich_table(cells[shown], texts)).maximum > width and len(shown) > texts + 1:
        shown.pop()
    console.print(table, end="\n\n")
    if left_out := list(cells)[len(shown) :]:
        where = f"; all columns are in {file}" if file else ""
        print(f"Columns left out because the terminal is narrow: {', '.join(left_out)}{where}.")


def _rich_table(cells: pd.DataFrame, texts: int) -> Table:
    table = Table(box=HEAD_LINE, show_edge=False, pad_edge=False, header_style="")
    for i, name in enumerate(cells):
        table.add_column(one_line(name), justify="left" if i < texts else "right", no_wrap=True)
    for row in cells.to_numpy():
        table.add_row(*map(one_line, row))
    return table


def foot(result: EvaluationResult) -> list[str]:
    """Sentences that belong under every table: whose rules were used, and what is special about a row."""
    lines = [f"Protocol {result.protocol}: the rules of {result.source}. Fractions in percent."]
    lines += [
        f"{MARK} {row.name} has no results for {_some(row.missing)}: evaluated on the other {len(row.videos)} videos."
        for row in result.trackers
        if row.missing
    ]
    lines += [
        f"{row.name}: averaged over up to {row.repetitions} repetitions of each video."
        for row in result.trackers
        if row.repetitions > 1
    ]
    if result.comparison is not None:
        lines.append(result.comparison.sentence + ".")
    return [one_line(line) for line in lines + result.notes]


def write_tables(result: EvaluationResult, output: Path, per_video: bool) -> None:
    """Write summary.json, table.{csv,json,md,tex}, and attributes.csv and videos.csv where they apply."""
    write_text(output / "summary.json", as_json(result.summary()) + "\n")
    write_text(output / "table.csv", as_csv(frame_of(result).reset_index()))
    write_text(output / "table.json", as_json(_content(result)))
    write_text(output / "table.md", _markdown(result))
    write_text(output / "table.tex", _latex(result))
    if result.attribute_sizes:
        write_text(output / "attributes.csv", as_csv(attributes_of(result).reset_index(), "%.6f"))
    if per_video:
        write_text(output / "videos.csv", as_csv(videos_of(result), "%.6f"))


def as_csv(frame: pd.DataFrame, floats: str | None = None) -> str:
    """Convert to CSV; text that a spreadsheet would take for a formula gets an apostrophe."""
    safe = frame.map(lambda cell: csv_cell(cell) if isinstance(cell, str) else cell).rename(columns=csv_cell)
    return safe.to_csv(index=False, lineterminator="\n", float_format=floats)


def markdown_table(cells: pd.DataFrame, texts: int) -> list[str]:
    """Convert a frame of escaped text to the lines of a Markdown table; the first `texts` columns hold text."""
    sides = ["---"] * texts + ["---:"] * (len(cells.columns) - texts)
    return [f"| {' | '.join(row)} |" for row in ([*cells], sides, *cells.to_numpy().tolist())]


def write_text(path: Path, text: str) -> None:
    """Write a file atomically. Raise a SpotError that names it."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def as_json(value: object) -> str:
    """Convert to JSON, which has no NaN: null."""
    text = json.dumps(value, default=np.ndarray.tolist)
    return json.dumps(json.loads(text, parse_constant=lambda _: None), indent=1)


def _cell(row: TrackerResult, measure: Measure, short: bool, main: bool) -> str:
    text = measure.show(row.values.get(measure.key))
    if measure.key not in row.intervals or (short and not main):
        return text
    low, high = row.intervals[measure.key]
    return text + (f" ±{measure.show((high - low) / 2)}" if short else f" [{measure.show(low)}, {measure.show(high)}]")


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _content(result: EvaluationResult) -> dict[str, Any]:
    return {
        "benchmark": result.benchmark,
        "protocol": result.protocol,
        "source": result.source,
        "measures": {m.key: m.meaning for m in columns_of(result)},
        "trackers": {
            row.name: {
                "values": row.values,
                "videos": len(row.videos),
                "missing": row.missing,
                "repetitions": row.repetitions,
                "intervals": row.intervals,
                "curves": {key: np.round(curve, 6).tolist() for key, curve in row.curves.items()},
            }
            for row in result.trackers
        },
        "attributes": {row.name: row.attributes for row in result.trackers},
        "comparison": None if result.comparison is None else vars(result.comparison),
        "notes": foot(result),
    }


def _escaped_cells(result: EvaluationResult, escape: Callable[[str], str], bold: str) -> pd.DataFrame:
    """Return the cells with their text escaped, and the best of each measure put into the template `bold`."""
    cells, best = cells_of(result).map(escape), best_of(result)
    for measure in columns_of(result):
        wins = best[measure.key].to_numpy()
        cells.loc[wins, measure.title] = cells.loc[wins, measure.title].map(bold.format)
    return cells.rename(columns=escape)


def _markdown(result: EvaluationResult) -> str:
    table = markdown_table(_escaped_cells(result, markdown, "**{}**"), 1)
    notes = [f"{markdown(note)}  " for note in foot(result)]
    return "\n".join([f"**{markdown(result.benchmark)}**", "", *table, "", *notes, ""])


def _latex(result: EvaluationResult) -> str:
    cells = _escaped_cells(result, latex, r"\textbf{{{}}}")
    notes = [f"{one_line(result.benchmark)}; needs \\usepackage{{booktabs}}", *foot(result)]
    table = cells.to_latex(index=False, escape=False, column_format="l" + "r" * (len(cells.columns) - 1))
    return "".join(f"% {note}\n" for note in notes) + table
