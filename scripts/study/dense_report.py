"""What the study of dense labels found: a table, paired comparisons, and quality against boxes. Called by dense_labels.py."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from runs import Row
from study_tables import DRAWS, difference, per_video, seeds_of, write_between_marks

from spot.evaluation.statistics import Comparison, bootstrap_interval
from spot.reporting.plots import COLOURS

TITLES = {
    "interpolation": "linear interpolation, no tracker",
    "nanotrack_v1_nearer": "OpenCV's NanoTrack v1, the nearer direction or that with the higher score",
    "nanotrack_v1_averaged": "the same, directions that agree are averaged, sizes half interpolated",
    "nanotrack_v2_nearer": "OpenCV's NanoTrack v2, the nearer direction or that with the higher score",
    "nanotrack_v2_averaged": "the same, directions that agree are averaged, sizes half interpolated",
    "nanotrack_v2_joined": "the same, passes corrected at the next label (the rule of `spot.annotate`)",
    "nanotrack_v2_published_joined": "`arch=nanotrack_v2` without training, the rule of `spot.annotate`",
    "nano_adapt": "the same after `experiment=nano_adapt`, with `mirror=false`",
    "nano_adapt_mirrored": "**the same with mirrored videos, the default**",
    "nano_adapt_mirrored_one_direction": "the same, forward passes alone",
    "nano_adapt_mirrored_oracle": "the best of its candidate boxes, chosen with the true boxes",
    "own_videos_key_frames_only": "`experiment=own_videos`, learning from the labelled boxes alone",
    "own_videos_spot": "`experiment=own_videos` (SPOT)",
    "own_videos_no_propagation": "SPOT without propagation",
}
COLUMNS = (("train", 3), ("val", 3), ("val", 5), ("test", 2), ("test", 3), ("test", 5))
PLAIN, OURS = "nano_adapt", "nano_adapt_mirrored"
SUGGESTED = re.compile(rf"{OURS}/suggested from \d, ([\d.]+) boxes a video")


def report(rows: Sequence[Row], docs: Path | None) -> None:
    """Print everything; with `docs`, write tables into docs/own_videos.md and README.md, and the plot."""
    text = f"{table(rows)}\n{comparisons(rows)}"
    print(text)
    if docs is not None:
        write_between_marks(text, docs / "own_videos.md", "dense")
        write_between_marks(summary(rows), docs.parent / "README.md", "dense")
        draw(rows, docs / "study_dense.png")


def of_split(rows: Sequence[Row], split: str) -> list[Row]:
    """Return the rows of a split, with the name alone as their setting instead of `<split>/<name>`."""
    parts = [(row, *row["setting"].split("/", 1)) for row in rows]
    return [row | {"setting": name} for row, of, name in parts if of == split]


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: mean over videos and seeds, and how many seeds where there are several."""
    lines = [
        f"| | {' | '.join(f'{split}, k = {k}' for split, k in COLUMNS)} |",
        f"|{'---|' * (1 + len(COLUMNS))}",
    ]
    splits = {split: of_split(rows, split) for split, _ in COLUMNS}
    for name, title in TITLES.items():
        cells = []
        for split, k in COLUMNS:
            seeds = seeds_of(splits[split], (name, k))
            text = f"{per_video(splits[split], (name, k), seeds).mean():.3f}" if seeds else ""
            text = f"**{text}**" if text and name == OURS else text
            cells.append(f"{text} ({len(seeds)})" if len(seeds) > 1 else text)
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """Return the table of README.md: the test videos with 2, 3 and 5 boxes."""
    mine = of_split(rows, "test")
    names = ("interpolation", "nanotrack_v2_averaged", OURS)
    lines = [
        "| boxes a video | linear interpolation | OpenCV's NanoTrack v2, both directions | `experiment=nano_adapt`, `spot.annotate` |",
        "|---|---|---|---|",
    ]
    for k in (2, 3, 5):
        means = [per_video(mine, (name, k), seeds_of(mine, (name, k))).mean() for name in names]
        lines.append(f"| {k} | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join(lines) + "\n"


def is_baseline(name: str) -> bool:
    """Whether a setting uses neither this project's joining rule nor its training."""
    return name == "interpolation" or (name.startswith("nanotrack_v") and name.endswith(("_nearer", "_averaged")))


def best_baseline(mine: Sequence[Row], k: int) -> str | None:
    """Return the baseline with the highest mean over videos and seeds in the rows of a split; None without any."""
    names = sorted({row["setting"] for row in mine if row["k"] == k and is_baseline(row["setting"])})
    levels = {name: per_video(mine, (name, k), seeds_of(mine, (name, k))).mean() for name in names}
    return max(levels, key=lambda name: levels[name], default=None)


def print_all(rows: Sequence[Row]) -> None:
    """Print the mean over videos of each setting, k and seed, and each setting against the best baseline."""
    groups: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for row in rows:
        groups[row["setting"], row["k"], row["seed"]].append(row["score"])
    for (setting, k, seed), values in sorted(groups.items()):
        print(f"{setting:45s} k={k} seed={seed}  {np.mean(values):.4f}  ({len(values)} videos)")
    for split, k in sorted({(setting.partition("/")[0], k) for setting, k, _ in groups}):
        mine = of_split(rows, split)
        if (best := best_baseline(mine, k)) is None:
            continue
        for name in sorted({row["setting"] for row in mine}):
            if not is_baseline(name) and not name.endswith("_oracle"):
                gain = difference(mine, (name, k), (best, k), "mean IoU")
                if gain:
                    print(f"{split} k={k}: {gain.sentence}")


def comparisons(rows: Sequence[Row]) -> str:
    """Return sentences on the test videos: ours against the best baseline, with and without mirror, suggestions."""
    mine, lines = of_split(rows, "test"), []
    for k in (2, 3, 5):
        best = best_baseline(mine, k)
        gain = best and difference(mine, (OURS, k), (best, k), "mean IoU")
        if gain:
            lines.append(
                f"Test, k = {k}: `nano_adapt` is ahead of the best row without this project (`{best}`) by "
                f"{interval(gain)}."
            )
        mirror = difference(mine, (OURS, k), (PLAIN, k), "mean IoU")
        if mirror:
            lines.append(f"Test, k = {k}: the mirrored videos add {interval(mirror)}.")
    for setting, k, boxes in suggestions(mine):
        gain = difference(mine, (setting, k), (OURS, 5), "mean IoU")
        if gain:
            lines.append(
                f"Test, {boxes:.1f} boxes a video on average, of which {k} by the windows rule and the others by "
                f"suggestion: {interval(gain)} against k = 5."
            )
    return "".join(fill(line, 100, initial_indent="- ", subsequent_indent="  ") + "\n" for line in lines)


def interval(gain: Comparison) -> str:
    """Return a difference with its 95 % interval and the number of videos."""
    return f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}, {gain.videos} videos)"


def suggestions(mine: Sequence[Row]) -> list[tuple[str, int, float]]:
    """Return setting, k at the start and boxes a video of each suggestion in the rows of a split, fewest boxes first."""
    found = {
        (row["setting"], row["k"], float(match[1])) for row in mine if (match := SUGGESTED.fullmatch(row["setting"]))
    }
    return sorted(found, key=lambda each: each[2])


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the mean IoU on the test videos against the boxes a video, with 95 % intervals over videos."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    mine = of_split(rows, "test")
    uniform = {
        "after nano_adapt": OURS,
        "OpenCV's NanoTrack v2, averaged": "nanotrack_v2_averaged",
        "linear interpolation": "interpolation",
    }
    lines = {label: [(name, k, float(k)) for k in (2, 3, 5)] for label, name in uniform.items()}
    lines["after nano_adapt, boxes beyond 3 suggested"] = [(OURS, 3, 3.0), *suggestions(mine)]
    for (label, points), colour in zip(lines.items(), COLOURS, strict=False):
        found = [(boxes, (name, k), seeds_of(mine, (name, k))) for name, k, boxes in points]
        known = [(boxes, per_video(mine, cell, seeds)) for boxes, cell, seeds in found if seeds]
        if not known:
            continue
        values = np.array([each.mean() for _, each in known])
        ends = np.array([bootstrap_interval(each, np.ones(len(each)), DRAWS, 0) for _, each in known]).T
        xs = [boxes for boxes, _ in known]
        axes.errorbar(xs, values, np.abs(ends - values), fmt="o-", color=colour, capsize=3, label=label)
    axes.set_xlabel("human boxes a video (mean)")
    axes.set_ylabel("mean IoU of the other frames")
    axes.set_title("40 test videos", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(path, dpi=130)
