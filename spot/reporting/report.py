"""One HTML file with everything in it: tables that sort on a click, plots, and pictures of the worst videos."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import EvaluationResult, Measure
from spot.reporting.tables import MARK, columns_of, foot
from spot.reporting.worst_videos import GREEN, Colour, as_jpeg, strip


class Strip(NamedTuple):
    """Frames of one video: JPEG bytes, the name of the video, and its score by tracker."""

    video: str
    jpeg: bytes
    scores: Mapping[str, float]


def worst_strips(
    outcome: EvaluationResult,
    videos: VideoSet,
    boxes: Callable[[str, str], np.ndarray],
    colours: Mapping[str, Colour],
    count: int,
) -> list[Strip]:
    """Pictures of the videos on which the trackers do worst on average, if their frames are at hand.

    Args:
        outcome: with a measure of each video.
        videos: with frames.
        boxes: tracker and video to (n, 4) boxes.
        colours: of the trackers to show.
        count: number of videos.
    """
    if outcome.video_measure is None:
        return []
    key = outcome.video_measure.key
    scores: dict[str, dict[str, float]] = {}
    for row in outcome.trackers:
        if row.name in colours:
            for video, value in zip(row.videos, row.per_video[key].tolist(), strict=True):
                scores.setdefault(video, {})[row.name] = value
    worst = sorted(scores, key=lambda video: (np.nan_to_num(np.mean(list(scores[video].values()))), video))[:count]
    strips = []
    for video in worst:
        shown = {colours[name]: boxes(name, video) for name in scores[video]}
        if (picture := strip(videos[video], shown)) is not None:
            strips.append(Strip(video, as_jpeg(picture), scores[video]))
    return strips


STYLE = """
:root { --line: #d9dce1; --ink: #1d2330; --soft: #667085; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 60px; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 25px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 38px 0 10px; }
p.soft, .foot { color: var(--soft); font-size: 13px; margin: 3px 0; }
.scroll { overflow: auto; max-height: 560px; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 11px; text-align: right; white-space: nowrap; border-bottom: 1px solid #eceef1; }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: #f5f6f8; cursor: pointer; user-select: none;
  font-weight: 600; font-size: 13px; }
thead th:hover { color: var(--accent); }
thead th[aria-sort=ascending]::after { content: " \\25B2"; font-size: 10px; }
thead th[aria-sort=descending]::after { content: " \\25BC"; font-size: 10px; }
tbody tr:hover { background: #f7faff; } tbody tr:last-child td { border-bottom: 0; }
td.best { font-weight: 700; } td small { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 16px; }
.plots img { width: 100%; height: auto; }
figure { margin: 0 0 18px; } figure img { max-width: 100%; height: auto; border-radius: 4px; display: block; }
figcaption { font-size: 13px; margin: 3px 0; }
.key { display: inline-block; width: 11px; height: 11px; margin: 0 4px 0 10px; }
@media print { .scroll { max-height: none; overflow: visible; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending" && !(column === 0 && !head.hasAttribute("aria-sort"));
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (column === 0) return x.localeCompare(y, undefined, { numeric: true });
      if (x === "" || y === "") return (x === "") - (y === "") || 0;
      return x - y;
    };
    const body = table.tBodies[0];
    const empty = row => column > 0 && value(row) === "";
    [...body.rows].sort((a, b) => (empty(a) - empty(b)) || (down ? compare(b, a) : compare(a, b)))
      .forEach(row => body.append(row));
  }));
}
"""


def write_report(
    outcome: EvaluationResult, path: Path, plots: Sequence[Path], strips: Sequence[Strip], colours: Mapping[str, Colour]
) -> Path:
    """Write the page.

    Args:
        outcome: of the evaluation.
        path: of the HTML file.
        plots: PNG files, which are copied into the page.
        strips: pictures of the worst videos.
        colours: of each tracker's boxes in the strips.
    """
    parts = [
        f"<h1>{escape(outcome.benchmark)}</h1>",
        f'<p class="soft">{escape(_headline(outcome))}</p>',
        _main_table(outcome),
    ]
    parts += [f'<p class="foot">{escape(line)}</p>' for line in foot(outcome)]
    if plots:
        parts.append("<h2>Plots</h2>")
        parts.append(f'<div class="plots">{"".join(_image(p.read_bytes(), "png", p.stem) for p in plots)}</div>')
    if outcome.attribute_sizes:
        parts += [f"<h2>{escape(outcome.main.title)} by attribute</h2>", _attribute_table(outcome)]
    by_video = outcome.video_measure
    if strips and by_video:
        parts += [
            "<h2>Worst videos</h2>",
            f'<p class="soft">{_legend(colours)}</p>',
            *(_figure(s, by_video) for s in strips),
        ]
    if by_video:
        parts += [f"<h2>{escape(by_video.title)} by video</h2>", _video_table(outcome, by_video)]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(outcome.benchmark)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + f"\n<script>{SCRIPT}</script>\n</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")
    return path


def _headline(outcome: EvaluationResult) -> str:
    videos = max((len(row.videos) + len(row.missing) for row in outcome.trackers), default=0)
    trackers = len(outcome.trackers)
    return (
        f"{trackers} tracker{'s' if trackers != 1 else ''} on {videos} videos, protocol {outcome.protocol}. "
        "Click a column to sort by it."
    )


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{text}</th>" for text in header)
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    table = f'<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _number(
    measure: Measure, value: float | None, best: bool = False, interval: tuple[float, float] | None = None
) -> str:
    known = value is not None and bool(np.isfinite(value))
    text = measure.show(value)
    if interval is not None:
        text += f" <small>[{measure.show(interval[0])}, {measure.show(interval[1])}]</small>"
    style = ' class="best"' if best else ""
    return f'<td{style} data-value="{value if known else ""}">{text}</td>'


def _main_table(outcome: EvaluationResult) -> str:
    columns = columns_of(outcome)
    rows = []
    for row in outcome.trackers:
        name = escape(row.name) + (f" {MARK}" if row.missing else "")
        cells = [f"<td>{name}</td>"]
        for measure in columns:
            values = [r.values[measure.key] for r in outcome.trackers if not r.missing and measure.key in r.values]
            value = row.values.get(measure.key)
            top = (min if measure.ascending else max)(values, default=None)
            best = len(values) > 1 and not row.missing and value == top
            cells.append(_number(measure, value, best, row.intervals.get(measure.key)))
        cells.append(f'<td data-value="{len(row.videos)}">{len(row.videos)}/{len(row.videos) + len(row.missing)}</td>')
        rows.append(cells)
    heads = [f'<span title="{escape(m.meaning, quote=True)}">{escape(m.title)}</span>' for m in columns]
    return _table(["Tracker", *heads, "Videos"], rows)


def _attribute_table(outcome: EvaluationResult) -> str:
    rows = [
        [
            f"<td>{escape(attribute)}</td>",
            f'<td data-value="{size}">{size}</td>',
            *(_number(outcome.main, row.attributes.get(attribute)) for row in outcome.trackers),
        ]
        for attribute, size in outcome.attribute_sizes.items()
    ]
    return _table(
        ["Attribute", outcome.attribute_unit.capitalize(), *(escape(row.name) for row in outcome.trackers)], rows
    )


def _video_table(outcome: EvaluationResult, measure: Measure) -> str:
    known = [dict(zip(row.videos, row.per_video[measure.key].tolist(), strict=True)) for row in outcome.trackers]
    videos = sorted({video for values in known for video in values})
    rows = [[f"<td>{escape(v)}</td>", *(_number(measure, values.get(v)) for values in known)] for v in videos]
    return _table(["Video", *(escape(row.name) for row in outcome.trackers)], rows)


def _image(data: bytes, kind: str, description: str) -> str:
    text = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(description, quote=True)}" src="data:image/{kind};base64,{text}">'


def _legend(colours: Mapping[str, Colour]) -> str:
    return "".join(
        f'<span class="key" style="background: rgb{colour}"></span>{escape(name)}'
        for name, colour in {"truth": GREEN, **colours}.items()
    )


def _figure(strip: Strip, measure: Measure) -> str:
    scores = ", ".join(f"{escape(name)} {measure.show(value)}" for name, value in strip.scores.items())
    return (
        f"<figure>{_image(strip.jpeg, 'jpeg', strip.video)}"
        f"<figcaption><b>{escape(strip.video)}</b> &nbsp; {scores}</figcaption></figure>"
    )
