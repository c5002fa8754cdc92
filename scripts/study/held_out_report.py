"""What the study on held-out real video found: a table for each start, and a plot. Called by held_out.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from runs import Row
from study_tables import (
    difference,
    per_video,
    points,
    seeds_of,
    sentence,
    table,
    title_of,
    without,
    write_between_marks,
)

from spot.reporting.plots import COLOURS

STARTS = {
    "ocean_small": "SP-Ocean, small, from the start weights",
    "ocean_small_long": "the same, four times the steps",
    "nanotrack_v1": "NanoTrack v1, from its published weights",
}


def report(rows: Sequence[Row], docs: Path | None) -> None:
    """Print all tables; with `docs`, write them into docs/study.md, a sentence into README.md, and plots."""
    text = tables(rows)
    print(text)
    if docs is None or not rows:
        return
    write_between_marks(text, docs / "study.md", "held_out")
    write_between_marks(summary(rows), docs.parent / "README.md", "study")
    draw_gains(next(iter(by_start(rows).values())), docs / "study_gains.png")


def tables(rows: Sequence[Row]) -> str:
    """Return the results in Markdown, a table for each start."""
    parts = []
    for start, mine in by_start(rows).items():
        commits = ", ".join(sorted({row["commit"] for row in mine}))
        runs = {(row["setting"], row["k"], row["seed"]) for row in mine}
        head = fill(f"**{STARTS[start]}** ({len(runs)} runs, commits {commits}):", 100)
        parts.append(f"{head}\n\n{table(mine)}{gap(mine)}{without(mine)}{equal_boxes(mine)}{labels(mine)}")
    return "\n".join([*parts, levels(rows)])


def by_start(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of our runs, by what they started from."""
    return {
        start: [row for row in rows if row["start"] == start]
        for start in STARTS
        if any(row["start"] == start for row in rows)
    }


def levels(rows: Sequence[Row]) -> str:
    """Return a table of the success from the first frame of each video alone: ours with k = 3, and OpenCV's trackers."""
    means: dict[str, list[float]] = {}
    for row in rows:
        if row["start"] == "peers" or (row["setting"], row["k"]) in (
            ("full", None),
            ("spot", 3),
            ("key_frames_only", 3),
        ):
            title = title_of(row["setting"])
            means.setdefault(title if row["start"] == "peers" else f"{title}, {row['start']}", []).append(row["first"])
    lines = ["From the first frame of each video alone:\n", "| tracker | success |", "|---|---|"]
    return (
        "\n".join([*lines, *(f"| {title} | {100 * np.mean(values):.1f} |" for title, values in means.items())]) + "\n"
    )


def gap(rows: Sequence[Row]) -> str:
    """Return a sentence on the gap that SPOT could fill, empty where full supervision was not run."""
    lines = []
    for k in sorted({row["k"] for row in rows if row["setting"] == "key_frames_only"}):
        ahead = difference(rows, ("full", None), ("key_frames_only", k))
        lines += [f"k = {k}: {points(ahead)}"] if ahead else []
    return sentence("All labels over key frames alone, same seeds: ", lines)


def equal_boxes(rows: Sequence[Row]) -> str:
    """Return a sentence on more videos with fewer boxes each, empty where they were not run."""
    few = ("key_frames_only", 9)
    many = [(f"key_frames_only_{videos}_videos", k) for videos, k in ((47, 5), (78, 3))]
    lines = [
        f"{title_of(cell[0])}, k = {cell[1]}: {points(gain)}" for cell in many if (gain := difference(rows, cell, few))
    ]
    return sentence("As many boxes in more videos over 26 videos with k = 9: ", lines)


def labels(rows: Sequence[Row]) -> str:
    """Return a sentence on the pseudo labels of SPOT, empty where there are none."""
    lines = []
    for k in sorted({row["k"] for row in rows if row["setting"] == "spot"}):
        mine = [row for row in rows if (row["setting"], row["k"]) == ("spot", k)]
        none = {row["seed"] for row in mine if "label_iou" not in row}
        iou = np.mean([row["label_iou"] for row in mine if row["seed"] not in none])
        explored = np.mean([row["explored"] for row in mine])
        empty = f" ({len(none)} of {len(seeds_of(mine, ('spot', k)))} runs kept none)" if none else ""
        lines.append(f"k = {k}: mean IoU {iou:.3f}{empty}, {100 * explored:.0f} % of the frames explored")
    return sentence("Pseudo labels kept in the last epoch: ", lines)


def summary(rows: Sequence[Row]) -> str:
    """What README.md says of the study: the main claim of each start."""
    lines = [
        "| success on 40 held-out real videos, k = 3 (seeds) | key frames alone | SPOT | all labels | SPOT ahead (95 %) |",
        "|---|---|---|---|---|",
    ]
    for start, mine in by_start(rows).items():
        gain = difference(mine, ("spot", 3), ("key_frames_only", 3))
        cells = [
            f"{100 * per_video(mine, cell, seeds).mean():.1f} ({len(seeds)})" if (seeds := seeds_of(mine, cell)) else ""
            for cell in (("key_frames_only", 3), ("spot", 3), ("full", None))
        ]
        lines.append(f"| {STARTS[start]} | {' | '.join(cells)} | {points(gain) if gain else ''} |")
    return "\n".join(lines) + "\n"


def draw_gains(rows: Sequence[Row], path: Path) -> None:
    """Draw by how much SPOT and full supervision are ahead of three key frames alone, video by video."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    cells = {"SPOT": ("spot", 3), "all labels": ("full", None)}
    common = set.intersection(*(set(seeds_of(rows, cell)) for cell in [*cells.values(), ("key_frames_only", 3)]))
    alone = per_video(rows, ("key_frames_only", 3), sorted(common))
    gains = {name: 100 * (per_video(rows, cell, sorted(common)) - alone) for name, cell in cells.items()}
    order = np.argsort(gains["SPOT"])
    for (name, gain), colour in zip(gains.items(), (COLOURS[0], COLOURS[6]), strict=True):
        axes.plot(gain[order], "o", ms=4, color=colour, label=f"{name}: mean {gain.mean():+.1f}")
    axes.axhline(0, color="grey", lw=1)
    axes.set_xlabel("held-out video, sorted by SPOT's gain")
    axes.set_ylabel("success over key frames alone [points]")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
