"""Rows of a study to paired intervals, a Markdown table and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from runs import Row

from spot.evaluation.statistics import Comparison, bootstrap_interval, compare_paired
from spot.reporting.plots import COLOURS
from spot.runtime.atomic_files import replacing
from spot.runtime.wording import counted

DRAWS = 10_000
TITLES = {
    "full": "all labels",
    "key_frames_only": "key frames alone",
    "spot": "SPOT",
    "annotated": "boxes of `spot.annotate`",
    "no_iou_filtering": "no filtering of labels",
    "no_teacher_ema": "no average of the teacher",
}
Cell = tuple[str, int | None]  # setting and k


def title_of(setting: str) -> str:
    """Return what a setting is called in tables and sentences."""
    if setting.endswith("_videos"):
        alone, videos, _ = setting.rsplit("_", 2)
        return f"{title_of(alone)}, {videos} videos"
    return TITLES.get(setting, setting.replace("_", " "))


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write a JSON list, one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a study."""
    return list(json.loads(path.read_text()))


def run_of(row: Row) -> tuple[str, str, int | None, int]:
    """Return which run a row is of: start (empty in a study that has one), setting, k, seed."""
    return row.get("start", ""), row["setting"], row["k"], row["seed"]


def merged(found: Sequence[Row], earlier: Sequence[Row]) -> list[Row]:
    """Return the rows found on this machine, and those of earlier runs that are not among them."""
    here = {run_of(row) for row in found}
    return [*found, *(row for row in earlier if run_of(row) not in here)]


def seeds_of(rows: Sequence[Row], cell: Cell) -> list[int]:
    """Return the seeds that a setting was run with, ascending."""
    return sorted({row["seed"] for row in rows if (row["setting"], row["k"]) == cell})


def per_video(rows: Sequence[Row], cell: Cell, seeds: Sequence[int]) -> np.ndarray:
    """Return (V,) scores of a setting, averaged over seeds, in the order of the videos' names."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        if (row["setting"], row["k"]) == cell and row["seed"] in seeds:
            scores.setdefault(row["video"], []).append(row["score"])
    return np.array([np.mean(scores[video]) for video in sorted(scores)])


def difference(rows: Sequence[Row], first: Cell, second: Cell, measure: str = "success") -> Comparison | None:
    """Compare two settings, paired over videos, averaged over the seeds that both have; None where there are none."""
    common = sorted(set(seeds_of(rows, first)) & set(seeds_of(rows, second)))
    if not common:
        return None
    names = (title_of(first[0]), title_of(second[0]))
    return compare_paired(names, measure, *(per_video(rows, cell, common) for cell in (first, second)), DRAWS, 0)


def closed(rows: Sequence[Row], setting: str, k: int) -> float | None:
    """Return the fraction of the gap from key frames alone to full supervision that a setting closes.

    None without common seeds, and where the 95 % interval of the gap includes zero: a fraction of it means nothing then.
    """
    cells: list[Cell] = [(setting, k), ("key_frames_only", k), ("full", None)]
    common = sorted(set.intersection(*(set(seeds_of(rows, cell)) for cell in cells)))
    if not common:
        return None
    gap = difference([row for row in rows if row["seed"] in common], cells[2], cells[1])
    if gap is None or gap.low <= 0:
        return None
    ours, alone = (per_video(rows, cell, common).mean() for cell in cells[:2])
    return float(ours - alone) / gap.difference


def points(comparison: Comparison) -> str:
    """Return a difference in points with its interval: `+1.9 (+1.2 to +2.5)`."""
    low, high = 100 * comparison.low, 100 * comparison.high
    return f"{100 * comparison.difference:+.1f} ({low:+.1f} to {high:+.1f})"


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: success of each setting, and the difference from key frames alone with the same k."""
    lines = [
        "| labels | k | seeds | success | over key frames alone (95 %) | of the gap |",
        "|---|---|---|---|---|---|",
    ]
    for setting, k in dict.fromkeys((row["setting"], row["k"]) for row in rows):
        seeds = seeds_of(rows, (setting, k))
        mean = per_video(rows, (setting, k), seeds).mean()
        ahead, gap = "", ""
        if k and setting != "key_frames_only":
            gain, fraction = difference(rows, (setting, k), ("key_frames_only", k)), closed(rows, setting, k)
            ahead = "" if gain is None else points(gain)
            gap = "" if fraction is None else f"{100 * fraction:.0f} %"
        lines.append(f"| {title_of(setting)} | {k or 'all'} | {len(seeds)} | {100 * mean:.1f} | {ahead} | {gap} |")
    return "\n".join(lines) + "\n"


def without(rows: Sequence[Row]) -> str:
    """Return a sentence on SPOT without one of its parts, empty where no part was left out."""
    cells = dict.fromkeys((row["setting"], row["k"]) for row in rows if row["setting"].startswith("no_"))
    lines = [
        f"{title_of(cell[0])} {points(gain)}, {counted(len(seeds_of(rows, cell)), 'seed')}"
        for cell in cells
        if (gain := difference(rows, cell, ("spot", cell[1])))
    ]
    return sentence("SPOT without one of its parts over the whole, same seeds: ", lines)


def sentence(start: str, parts: Sequence[str]) -> str:
    """Return a paragraph of one sentence, wrapped; empty without parts."""
    return f"\n{fill(start + '; '.join(parts) + '.', 100)}\n" if parts else ""


def write_between_marks(text: str, file: Path, mark: str) -> None:
    """Replace what lies between the file's lines `<!-- mark -->` and `<!-- /mark -->`."""
    before, opening, rest = file.read_text().partition(f"<!-- {mark} -->\n")
    _, closing, after = rest.partition(f"<!-- /{mark} -->")
    if not (opening and closing):
        raise SystemExit(f"{file} has no <!-- {mark} --> ... <!-- /{mark} --> to write between")
    file.write_text(before + opening + text + closing + after)


def plot(rows: Sequence[Row], path: Path, videos: str) -> None:
    """Draw success against k with 95 % intervals over videos, and the line of full supervision. `videos` is the title."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if seeds := seeds_of(rows, ("full", None)):
        values = 100 * per_video(rows, ("full", None), seeds)
        axes.axhline(values.mean(), color=COLOURS[6], lw=1.5, label=f"all labels ({values.mean():.1f})")
    for setting, colour, shift in (("spot", COLOURS[0], -0.03), ("key_frames_only", COLOURS[1], 0.03)):
        ks = sorted({row["k"] for row in rows if row["setting"] == setting})
        scores = [100 * per_video(rows, (setting, k), seeds_of(rows, (setting, k))) for k in ks]
        means = np.array([each.mean() for each in scores])
        ends = np.array([bootstrap_interval(each, np.ones(len(each)), DRAWS, 0) for each in scores]).T
        axes.errorbar(
            np.array(ks) + shift, means, np.abs(ends - means), fmt="o-", color=colour, capsize=3, label=TITLES[setting]
        )
    axes.set_xlim(1.5, 5.5)
    axes.set_xticks([2, 3, 5])
    axes.set_xlabel("labelled frames a video (k)")
    axes.set_ylabel("success AUC [%]")
    axes.set_title(videos, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=130)
