"""What the label-efficiency study found: docs/study.json, a table and three plots in docs/. Called by study.py."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from study_plan import REAL, Job

from spot.data.datasets.folder import load
from spot.data.key_frames import KeyFrames
from spot.data.targets import Targets
from spot.reporting.evaluate_ope import evaluate_ope
from spot.reporting.options import Options
from spot.reporting.plots import COLOURS
from spot.state.store import StateStore

DOCS = Path(__file__).resolve().parents[2] / "docs"
DRAWS = 10_000
PEERS = ("MIL", "NanoTrack_v1", "NanoTrack_v2")


def report(jobs: Sequence[Job], outputs: Path, tracks: Path) -> None:
    """Write everything about the runs that are finished; say how many are not."""
    finished = [job for job in jobs if (outputs / job.run / "done.json").exists()]
    if not finished:
        raise SystemExit("no run is finished yet: nothing to report")
    scores = track_scores(finished, outputs, tracks)
    rows = [study_row(job, scores, outputs) for job in sorted(finished, key=place)]
    (DOCS / "study.json").write_text(json.dumps(rows, indent=1) + "\n")
    table = results_table(rows, scores, len(jobs))
    (DOCS / "study_results.md").write_text(table)
    if difference(rows, 3) is not None:  # what README.md speaks of
        write_between_marks(summary(rows, len(jobs)), DOCS.parent / "README.md")
    draw_accuracy(rows, DOCS / "study_accuracy.png")
    draw_exploration([job for job in finished if job.setting == "spot"], outputs, DOCS / "study_exploration.png")
    draw_calibration(
        [job for job in finished if job.setting == "spot" and job.k == 3], outputs, DOCS / "study_calibration.png"
    )
    print(table)


def place(job: Job) -> tuple[int, str, int, int]:
    """Sorts as tables show it: the baselines, the method, then its ablations."""
    main = {"full": 0, "sparse": 1, "spot": 2}
    return main.get(job.setting, len(main)), "" if job.setting in main else job.setting, job.k or 0, job.seed


def track_scores(jobs: Sequence[Job], outputs: Path, tracks: Path) -> dict[str, dict[str, dict[str, float]]]:
    """{tracker: {measure: {video: value}}}, fractions of 1.

    `success` is the success AUC, `overlap` the average overlap, both means over a video's starts; `first_overlap` is the
    average overlap from its first frame.
    """
    folder = outputs / "results" / "held_out"
    names = [*(job.run for job in jobs), *PEERS]
    found = {name: folder / name for name in names if (folder / name).is_dir()}
    outcome, _ = evaluate_ope(load(str(tracks)), "held_out", found, Options(missing="skip"))
    return {
        row.name: {
            "success": means(row.videos, row.per_video["success"]),
            "overlap": means(row.videos, row.per_video["ao"]),
            "first_overlap": means(row.videos, row.per_video["ao"], only="start"),
        }
        for row in outcome.trackers
        if not row.missing
    }


def means(tracks: Sequence[str], values: np.ndarray, only: str | None = None) -> dict[str, float]:
    """Return video to the mean of its tracks' values, all or those of one start."""
    grouped: dict[str, list[float]] = {}
    for track, value in zip(tracks, values, strict=True):
        video, _, start = track.rpartition("__")
        if only in (None, start):
            grouped.setdefault(video, []).append(value)
    return {video: round(float(np.mean(each)), 5) for video, each in grouped.items()}


def study_row(job: Job, scores: dict[str, Any], outputs: Path) -> dict[str, Any]:
    """Return one run as docs/study.json keeps it; `scores` is the success AUC of what the run is meant to deliver."""
    done = json.loads((outputs / job.run / "done.json").read_text())
    epochs = read_metrics(outputs / job.run / "metrics.csv")
    per_epoch = 32 * int(epochs[0]["step"] or 0) + 32
    seconds = sum(per_epoch / float(epoch["speed/samples_per_second"]) for epoch in epochs)
    row = {"setting": job.setting, "k": job.k, "seed": job.seed, "scores": scores[job.run]["success"]}
    row |= {key: scores[job.run][key] for key in ("overlap", "first_overlap")}
    if (outputs / job.run / "sampler_state").is_dir():
        _, true = recorded_labels(job, outputs)
        row["label_iou"] = round(float(true.mean()), 4) if len(true) else None
        row["explored"] = round(last_value(outputs / job.run / "metrics.csv", "explored_fraction"), 4)
    return row | done | {"minutes": round(seconds / 60, 1)}


def recorded_labels(job: Job, outputs: Path) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each pseudo label in the run's last sampler state, and its IoU with the annotation."""
    videos = load(str(REAL / "train"))
    key_frames = KeyFrames.find(outputs / "labels" / f"s{job.seed}", videos, job.k)
    assert key_frames is not None
    targets = Targets([videos], [key_frames])
    store = StateStore.open(outputs / job.run / "sampler_state")
    return targets.recorded_labels(store.at(np.iinfo(np.int64).max))


def results_table(rows: list[dict[str, Any]], scores: dict[str, Any], planned: int) -> str:
    """Return the results in Markdown."""
    lines = [
        "# Study: all results\n",
        f"[study.md](study.md) explains the study. {len(rows)} of {planned} runs are finished.\n",
        "- **success**, **AO**: success AUC and average overlap on the held-out videos in percent, mean over",
        "  seeds, videos and the four starts of a video; **AO, first**: tracks from the first frame alone.",
        "- **95 % interval** of the success AUC: over resampled seeds and videos.",
        "- **gap**: fraction of the distance from `sparse` with the same k to `full` that is closed.",
        "- **label IoU**: IoU of all recorded pseudo labels with the annotation.",
        "",
        "| setting | k | seeds | success | 95 % interval | AO | AO, first | gap | label IoU | explored |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for setting, k in dict.fromkeys((row["setting"], row["k"]) for row in rows):
        mine = [row for row in rows if (row["setting"], row["k"]) == (setting, k)]
        values = table_of(rows, setting, k)
        # a gap is that of the same seeds
        peers = [row for row in rows if row["seed"] in {one["seed"] for one in mine}]
        full, sparse = table_of(peers, "full", None), table_of(peers, "sparse", k)
        low, high = interval(values)
        gap = (
            ""
            if setting in ("full", "sparse") or not len(values) == len(sparse) == len(full)
            else closed(values, sparse, full)
        )
        quality = [row["label_iou"] for row in mine if row.get("label_iou") is not None]
        explored = [row["explored"] for row in mine if "explored" in row]
        lines.append(
            f"| {setting} | {k or 'all'} | {', '.join(str(row['seed']) for row in mine)} | {100 * values.mean():.1f} "
            f"| {100 * low:.1f} to {100 * high:.1f} | {100 * table_of(rows, setting, k, 'overlap').mean():.1f} "
            f"| {100 * table_of(rows, setting, k, 'first_overlap').mean():.1f} | {gap} "
            f"| {f'{np.mean(quality):.3f}' if quality else ''} | {f'{100 * np.mean(explored):.0f} %' if explored else ''} |"
        )
    for peer in PEERS:
        if peer in scores:
            success, overlap, first = (100 * np.mean(list(each.values())) for each in scores[peer].values())
            lines.append(f"| {peer.replace('_', ' ')} | | | {success:.1f} | | {overlap:.1f} | {first:.1f} | | | |")
    lines.append("")
    lines += [
        f"- `spot` minus `sparse` at k = {k}: {ahead}." for k in (2, 3, 5) if (ahead := difference(rows, k)) is not None
    ]
    minutes = [row["minutes"] for row in rows]
    lines.append(
        f"- {sum(minutes):.0f} minutes of training in all, {np.mean(minutes):.1f} a run; commits {commits(rows)}."
    )
    return "\n".join(lines) + "\n"


def difference(rows: list[dict[str, Any]], k: int) -> str | None:
    """By how much the method is ahead of its key frames alone, over the seeds that both have; None where there are none."""
    seeds = [{row["seed"] for row in rows if (row["setting"], row["k"]) == (name, k)} for name in ("spot", "sparse")]
    common = [row for row in rows if row["seed"] in seeds[0] & seeds[1]]
    ahead = table_of(common, "spot", k), table_of(common, "sparse", k)
    if not len(ahead[0]):
        return None
    gain = ahead[0] - ahead[1]
    low, high = interval(gain)
    return f"{100 * gain.mean():+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}, {number(len(gain), 'seed')})"


def commits(rows: list[dict[str, Any]]) -> str:
    return ", ".join(sorted({row["commit"] for row in rows}))


def number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def summary(rows: list[dict[str, Any]], planned: int) -> str:
    """What README.md says of the study."""

    def cell(setting: str, k: int | None) -> str:
        values = table_of(rows, setting, k)
        return f"{100 * values.mean():.1f} ({number(len(values), 'seed')})" if len(values) else ""

    lines = ["| success AUC on 13 held-out real videos | k = 2 | k = 3 | k = 5 |", "|---|---|---|---|"]
    for setting, title in (("sparse", "key frames alone"), ("spot", "SPOT")):
        lines.append(f"| {title} | {' | '.join(cell(setting, k) for k in (2, 3, 5))} |")
    lines.append(f"| all labels | | {cell('full', None)} | |")
    quality = [row["label_iou"] for row in rows if (row["setting"], row["k"]) == ("spot", 3)]
    lines += [
        "",
        f"`make study`: {len(rows)} of {number(planned, 'run')}, {sum(row['minutes'] for row in rows) / 60:.1f} hours "
        f"of one core, commits {commits(rows)}. At k = 3 SPOT is",
        f"{difference(rows, 3)} ahead of key frames alone. Recorded pseudo labels",
        f"have a mean IoU of {np.mean(quality):.3f}. [study.md](docs/study.md) explains the figures.",
        "",
    ]
    return "\n".join(lines)


def write_between_marks(text: str, file: Path) -> None:
    """Replace what lies between the file's lines `<!-- study -->` and `<!-- /study -->`."""
    before, mark, rest = file.read_text().partition("<!-- study -->\n")
    _, end, after = rest.partition("<!-- /study -->")
    if not (mark and end):
        raise SystemExit(f"{file} has no <!-- study --> ... <!-- /study --> to write between")
    file.write_text(before + mark + text + end + after)


def table_of(rows: list[dict[str, Any]], setting: str, k: int | None, key: str = "scores") -> np.ndarray:
    """Return (seeds, videos) of a setting, seeds ascending."""
    mine = sorted((row for row in rows if (row["setting"], row["k"]) == (setting, k)), key=lambda row: row["seed"])
    return np.array([list(row[key].values()) for row in mine])


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of (seeds, videos) over resampled seeds and, independently, resampled videos."""
    rng = np.random.default_rng(0)
    seeds, videos = values.shape
    weights = [rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) / n for n in (seeds, videos)]
    low, high = np.quantile(np.einsum("ds,sv,dv->d", weights[0], values, weights[1]), [0.025, 0.975])
    return float(low), float(high)


def closed(values: np.ndarray, sparse: np.ndarray, full: np.ndarray) -> str:
    """Share of the gap between sparse and full that a setting closes."""
    return f"{100 * (values.mean() - sparse.mean()) / (full.mean() - sparse.mean()):.0f} %"


def draw_accuracy(rows: list[dict[str, Any]], path: Path) -> None:
    """Success against k, every seed as a dot, with the line of full supervision."""
    figure, axes = figure_of("labelled frames a video (k)", "success AUC on held-out videos [%]")
    full = table_of(rows, "full", None)
    if len(full):
        means = 100 * full.mean(axis=1)
        axes.axhline(means.mean(), color=COLOURS[6], lw=1.5, label=f"all labels ({means.mean():.1f})")
        axes.axhspan(means.min(), means.max(), color=COLOURS[6], alpha=0.08, lw=0)
    for setting, colour, title in (("spot", COLOURS[0], "SPOT"), ("sparse", COLOURS[1], "key frames alone")):
        ks = sorted({row["k"] for row in rows if row["setting"] == setting})
        means = [100 * table_of(rows, setting, k).mean(axis=1) for k in ks]
        axes.plot(ks, [m.mean() for m in means], "o-", color=colour, label=title)
        for k, values in zip(ks, means, strict=True):
            axes.plot([k] * len(values), values, "o", color=colour, ms=3, alpha=0.5)
    axes.set_xticks([2, 3, 5])
    axes.legend(frameon=False)
    save(figure, path)


def draw_exploration(jobs: Sequence[Job], outputs: Path, path: Path) -> None:
    """Explored fraction and IoU of the epoch's kept labels, mean over seeds with their range."""
    figure, axes = figure_of("epoch", "[%]")
    for k, colour in ((2, COLOURS[1]), (3, COLOURS[0]), (5, COLOURS[2])):
        tables = [read_metrics(outputs / job.run / "metrics.csv") for job in jobs if job.k == k]
        for column, style, title in (("explored_fraction", "-", "explored"), ("pseudo_label_iou", "--", "label IoU")):
            series = [[(int(float(r["epoch"])), float(r[column])) for r in table if r.get(column)] for table in tables]
            if not series:
                continue
            epochs = [epoch for epoch, _ in series[0]]
            values = 100 * np.array([[value for _, value in one] for one in series])
            axes.plot(epochs, values.mean(axis=0), style, color=colour, label=f"{title}, k = {k}")
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.12, lw=0)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, ncols=2, fontsize=8)
    save(figure, path)


def draw_calibration(jobs: Sequence[Job], outputs: Path, path: Path) -> None:
    """Predicted against true IoU of the recorded pseudo labels."""
    figure, axes = figure_of("predicted IoU", "IoU with the annotation")
    pairs = [recorded_labels(job, outputs) for job in jobs]
    if pairs:
        predicted, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
        axes.plot(predicted, true, ".", ms=2, alpha=0.25, color=COLOURS[1], rasterized=True)
        edges = np.quantile(predicted, np.linspace(0, 1, 9))
        cell = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, 7)
        means = [(predicted[cell == c].mean(), true[cell == c].mean()) for c in range(8) if (cell == c).any()]
        axes.plot(*zip(*means, strict=True), "o-", color=COLOURS[0], label="mean of an eighth of the labels")
        axes.axline((0.8, 0.8), slope=1, color="grey", lw=1, ls=":")
        axes.set_xlim(predicted.min(), 1)
        axes.legend(frameon=False)
    save(figure, path)


def figure_of(x: str, y: str) -> tuple[Figure, Any]:
    """Return an empty plot with its axes."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """As PNG, small enough for a repository."""
    figure.savefig(path, dpi=130)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return rows of a run's metrics.csv, one an epoch, which counts from 1."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def last_value(path: Path, column: str) -> float:
    """Return the column's value in the last epoch."""
    return float(read_metrics(path)[-1][column])
