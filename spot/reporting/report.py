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
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("spot.reporting", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    measure = outcome.video_measure
    tables = {"main": _main_table(outcome), "attributes": None, "videos": None}
    if outcome.attribute_sizes:
        tables["attributes"] = _attribute_table(outcome)
    if measure is not None:
        tables["videos"] = _video_table(outcome, measure)
    page = environment.get_template(TEMPLATE).render(
        benchmark=outcome.benchmark,
        headline=_headline(outcome),
        notes=foot(outcome),
        plots=[{"name": plot.stem.replace("_", " "), "data": _base64(plot.read_bytes())} for plot in plots],
        tables=tables,
        main=outcome.main.title,
        by_video=measure.title if measure else "",
        legend=[{"name": name, "rgb": rgb} for name, rgb in {"ground truth": TRUTH, **colours}.items()],
        strips=[
            {
                "video": strip.video,
                "data": _base64(strip.jpeg),
                "scores": [f"{name} {measure.show(value)}" for name, value in strip.scores.items()],
            }
            for strip in strips
            if measure
        ],
    )
    write_text(path, page)
    return path


def _headline(outcome: EvaluationResult) -> str:
    videos = max((len(row.videos) + len(row.missing) for row in outcome.trackers), default=0)
    trackers = len(outcome.trackers)
    return f"{trackers} tracker{'s' if trackers != 1 else ''} on {videos} videos, protocol {outcome.protocol}"


def _text(text: str) -> dict[str, Any]:
    return {"text": text, "value": text, "best": False, "interval": ""}


def _number(measure: Measure, value: float | None, best: bool = False, interval: str = "") -> dict[str, Any]:
    known = value is not None and bool(np.isfinite(value))
    return {"text": measure.show(value), "value": value if known else "", "best": best, "interval": interval}


def _main_table(outcome: EvaluationResult) -> dict[str, Any]:
    columns, best = columns_of(outcome), best_of(outcome)
    rows = []
    for i, row in enumerate(outcome.trackers):
        cells = [_text(display_name(row))]
        for m in columns:
            ends = row.intervals.get(m.key)
            interval = f"[{m.show(ends[0])}, {m.show(ends[1])}]" if ends else ""
            cells.append(_number(m, row.values.get(m.key), bool(best[m.key].iloc[i]), interval))
        videos = f"{len(row.videos)}/{len(row.videos) + len(row.missing)}"
        cells.append({**_text(videos), "value": len(row.videos)})
        rows.append(cells)
    heads = [("Tracker", ""), *((m.title, m.meaning) for m in columns), ("Videos", "videos with results")]
    return {"heads": heads, "rows": rows}


def _attribute_table(outcome: EvaluationResult) -> dict[str, Any]:
    rows = [
        [
            _text(attribute),
            {**_text(str(size)), "value": size},
            *(_number(outcome.main, row.attributes.get(attribute)) for row in outcome.trackers),
        ]
        for attribute, size in outcome.attribute_sizes.items()
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
