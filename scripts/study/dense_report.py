"""What the study of dense labels found: a table, paired comparisons, and quality against boxes. Called by dense_labels.py."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from runs import Row
from study_tables import DRAWS, write_between_marks

from spot.evaluation.statistics import Comparison, bootstrap_interval, compare_paired
from spot.reporting.plots import COLOURS

TITLES = {
    "interpolation": "linear interpolation, no tracker",
    "nanotrack_v1_nearer": "OpenCV's NanoTrack v1, the nearer direction or that with the higher score",
    "nanotrack_v1_averaged": "the same, directions that agree are averaged, sizes half interpolated",
    "nanotrack_v2_nearer": "OpenCV's NanoTrack v2, the nearer direction or that with the higher score",
    "nanotrack_v2_averaged": "the same, directions that agree are averaged, sizes half interpolated",
    "nanotrack_v2_joined": "the same, passes corrected at the next label (the rule of `spot.annotate`)",
    "nanotrack_v2_published_joined": "`arch=nanotrack_v2` without training, the rule of `spot.annotate`",
    "nano_adapt": "**the same after `experiment=nano_adapt`**",
    "nano_adapt_oracle": "the best of its candidate boxes, chosen with the true boxes",
}
COLUMNS = (("train", 3), ("val", 3), ("val", 5), ("test", 2), ("test", 3), ("test", 5))
OURS = "nano_adapt"
SUGGESTED = re.compile(r"(\w+)/suggested from (\d), ([\d.]+) boxes a video")
Scores = dict[str, dict[int, float]]  # video -> seed -> mean IoU


def report(rows: Sequence[Row], docs: Path | None) -> None:
    """Print everything; with `docs`, write the table into docs/own_videos.md, and the plot."""
    text = f"{table(rows)}\n{comparisons(rows)}"
    print(text)
    if docs is not None:
        write_between_marks(text, docs / "own_videos.md", "dense")
        draw(rows, docs / "study_dense.png")


def scores(rows: Sequence[Row], setting: str, k: int) -> Scores:
    """Return the scores of a setting `<split>/<name>`, by video and seed."""
    found: Scores = defaultdict(dict)
    for row in rows:
        if (row["setting"], row["k"]) == (setting, k):
            found[row["video"]][row["seed"]] = row["score"]
    return dict(found)


def means(found: Scores, seeds: Sequence[int]) -> np.ndarray:
    """Return (V,) the mean over `seeds` of each video, in the order of the videos' names."""
    return np.array([np.mean([found[video][seed] for seed in seeds]) for video in sorted(found)])


def seeds_of(found: Scores) -> list[int]:
    """Return the seeds that all videos have, ascending."""
    return sorted(set.intersection(*map(set, found.values()))) if found else []


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: mean over videos and seeds, and how many seeds where there are several."""
    lines = [
        f"| | {' | '.join(f'{split}, k = {k}' for split, k in COLUMNS)} |",
        f"|{'---|' * (1 + len(COLUMNS))}",
    ]
    for name, title in TITLES.items():
        cells = []
        for split, k in COLUMNS:
            found = scores(rows, f"{split}/{name}", k)
            seeds = seeds_of(found)
            text = f"{means(found, seeds).mean():.3f}" if seeds else ""
            text = f"**{text}**" if text and name == OURS else text
            cells.append(f"{text} ({len(seeds)})" if len(seeds) > 1 else text)
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def is_baseline(name: str) -> bool:
    """Whether a setting uses neither this project's joining rule nor its training."""
    return name == "interpolation" or (name.startswith("nanotrack_v") and name.endswith(("_nearer", "_averaged")))


def best_baseline(rows: Sequence[Row], split: str, k: int) -> str | None:
    """Return the baseline with the highest mean over videos and seeds; None where none was measured."""
    found = {name: scores(rows, f"{split}/{name}", k) for name in names_of(rows, split) if is_baseline(name)}
    levels = {name: means(each, seeds_of(each)).mean() for name, each in found.items() if seeds_of(each)}
    return max(levels, key=lambda name: levels[name], default=None)


def names_of(rows: Sequence[Row], split: str) -> list[str]:
    """Return the names of the settings that were measured on a split, sorted."""
    return sorted({name for row in rows for of, _, name in [row["setting"].partition("/")] if of == split})


def print_all(rows: Sequence[Row]) -> None:
    """Print the mean over videos of each setting, k and seed, and each setting against the best baseline."""
    groups: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for row in rows:
        groups[row["setting"], row["k"], row["seed"]].append(row["score"])
    for (setting, k, seed), values in sorted(groups.items()):
        print(f"{setting:45s} k={k} seed={seed}  {np.mean(values):.4f}  ({len(values)} videos)")
    for split, k in sorted({(setting.partition("/")[0], k) for setting, k, _ in groups}):
        best = best_baseline(rows, split, k)
        for name in names_of(rows, split):
            if best and not is_baseline(name) and not name.endswith("_oracle"):
                gain = compare(rows, (f"{split}/{name}", k), (f"{split}/{best}", k))
                if gain:
                    print(f"{split} k={k}: {gain.sentence}")


def compare(rows: Sequence[Row], first: tuple[str, int], second: tuple[str, int]) -> Comparison | None:
    """Compare two settings, paired over videos, averaged over the seeds that both have; None where there are none."""
    found = [scores(rows, *cell) for cell in (first, second)]
    seeds = sorted(set(seeds_of(found[0])) & set(seeds_of(found[1])))
    if not seeds or found[0].keys() != found[1].keys():
        return None
    names = (first[0].partition("/")[2], second[0].partition("/")[2])
    return compare_paired(names, "mean IoU", *(means(each, seeds) for each in found), DRAWS, 0)


def comparisons(rows: Sequence[Row]) -> str:
    """Return sentences: `nano_adapt` against the best baseline on the test videos, and suggestions against k = 5."""
    lines = []
    for k in (2, 3, 5):
        best = best_baseline(rows, "test", k)
        gain = best and compare(rows, (f"test/{OURS}", k), (f"test/{best}", k))
        if gain:
            lines.append(
                f"- Test, k = {k}: `nano_adapt` is ahead of the best row without this project (`{best}`) by "
                f"{interval(gain)}."
            )
    for setting, k, boxes in suggestions(rows):
        gain = compare(rows, (setting, k), (f"{setting.partition('/suggested')[0]}", 5))
        if gain:
            lines.append(
                f"- Test, {boxes:.1f} boxes a video on average, of which {k} by the windows rule and the others by "
                f"suggestion: {interval(gain)} against k = 5."
            )
    return "\n".join(lines) + "\n" if lines else ""


def interval(gain: Comparison) -> str:
    """Return a difference with its 95 % interval and the number of videos."""
    return f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}, {gain.videos} videos)"


def suggestions(rows: Sequence[Row]) -> list[tuple[str, int, float]]:
    """Return setting, k at the start and boxes a video of each suggestion on the test videos, fewest boxes first."""
    found = {
        (row["setting"], row["k"], float(match[3]))
        for row in rows
        if row["setting"].startswith(f"test/{OURS}/") and (match := SUGGESTED.search(row["setting"]))
    }
    return sorted(found, key=lambda each: each[2])


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the mean IoU on the test videos against the boxes a video, with 95 % intervals over videos."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    uniform = [("test/{}", k, float(k)) for k in (2, 3, 5)]
    lines = {
        "after nano_adapt": [(setting.format(OURS), k, boxes) for setting, k, boxes in uniform],
        "after nano_adapt, boxes beyond 3 suggested": [(f"test/{OURS}", 3, 3.0), *suggestions(rows)],
        "OpenCV's NanoTrack v2, averaged": [
            (setting.format("nanotrack_v2_averaged"), k, boxes) for setting, k, boxes in uniform
        ],
        "linear interpolation": [(setting.format("interpolation"), k, boxes) for setting, k, boxes in uniform],
    }
    for (label, points), colour in zip(lines.items(), COLOURS, strict=False):
        found = [(boxes, scores(rows, setting, k)) for setting, k, boxes in points]
        known = [(boxes, means(each, seeds_of(each))) for boxes, each in found if seeds_of(each)]
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
