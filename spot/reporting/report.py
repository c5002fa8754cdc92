"""One HTML file with everything in it: tables that sort on a click, plots, and pictures of the worst videos."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spot.evaluation.evaluation_result import EvaluationResult, Measure
from spot.reporting.strips import TRUTH, Colour, Strip
from spot.reporting.tables import best_of, columns_of, display_name, foot, write_text
from spot.runtime.pages import page_templates

TEMPLATE = "report.html.j2"


def write_report(
    outcome: EvaluationResult, path: Path, plots: Sequence[Path], strips: Sequence[Strip], colours: Mapping[str, Colour]
) -> Path:
    """Write the page from `report.html.j2`.

    Args:
        outcome: the evaluation.
        path: the HTML file.
        plots: PNG files, which are copied into the page.
        strips: pictures of the worst videos.
        colours: colour of each tracker's boxes in the strips.
    """
    measure, trackers = outcome.video_measure, len(outcome.trackers)
    videos = max((len(row.videos) + len(row.missing) for row in outcome.trackers), default=0)
    page = (
        page_templates("spot.reporting")
        .get_template(TEMPLATE)
        .render(
            benchmark=outcome.benchmark,
            headline=f"{trackers} tracker{'s' if trackers != 1 else ''} on {videos} videos, protocol {outcome.protocol}",
            notes=foot(outcome),
            plots=[{"name": plot.stem.replace("_", " "), "data": _base64(plot.read_bytes())} for plot in plots],
            main_table=_main_table(outcome),
            attributes=_attribute_table(outcome) if outcome.attribute_sizes else None,
            videos=_video_table(outcome, measure) if measure else None,
            main=outcome.main,
            by_video=measure,
            legend={"ground truth": TRUTH, **colours},
            strips=[(strip, _base64(strip.jpeg)) for strip in strips],
        )
    )
    write_text(path, page)
    return path


def _text(text: str, value: object = None) -> dict[str, Any]:
    return {"text": text, "value": text if value is None else value, "best": False, "interval": ""}


def _number(measure: Measure, value: float | None, best: bool = False, interval: str = "") -> dict[str, Any]:
    known = value is not None and bool(np.isfinite(value))
    return {"text": measure.show(value), "value": value if known else "", "best": best, "interval": interval}


def _main_table(outcome: EvaluationResult) -> dict[str, Any]:
    columns, best = columns_of(outcome), best_of(outcome)
    rows = []
    for i, row in enumerate(outcome.trackers):
        cells = [_text(display_name(row))]
        for m in columns:
            ends = [m._replace(digits=1).show(end) for end in row.intervals.get(m.key, ())]
            interval = f"[{', '.join(ends)}]" if ends else ""
            cells.append(_number(m, row.values.get(m.key), bool(best[m.key].iloc[i]), interval))
        total = len(row.videos) + len(row.missing)
        cells.append(_text(f"{len(row.videos)}/{total}" if row.missing else str(total), len(row.videos)))
        rows.append(cells)
    heads = [("Tracker", ""), *((m.title, m.meaning) for m in columns), ("Videos", "videos with results")]
    return {"heads": heads, "rows": rows}


def _attribute_table(outcome: EvaluationResult) -> dict[str, Any]:
    rows = [
        [_text(a), _text(str(n), n), *(_number(outcome.main, row.attributes.get(a)) for row in outcome.trackers)]
        for a, n in outcome.attribute_sizes.items()
    ]
    names = [(display_name(row), "") for row in outcome.trackers]
    return {"heads": [("Attribute", ""), (outcome.attribute_unit.capitalize(), ""), *names], "rows": rows}


def _video_table(outcome: EvaluationResult, measure: Measure) -> dict[str, Any]:
    known = [dict(zip(row.videos, row.per_video[measure.key].tolist(), strict=True)) for row in outcome.trackers]
    videos = sorted({video for values in known for video in values})
    rows = [[_text(v), *(_number(measure, values.get(v)) for values in known)] for v in videos]
    return {"heads": [("Video", ""), *((display_name(row), "") for row in outcome.trackers)], "rows": rows}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
