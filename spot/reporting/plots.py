"""Plots for papers: PNG and PDF, drawn without a display."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spot.evaluation.evaluation_result import CHOOSING, EvaluationResult, TrackerOutcome, epoch_series
from spot.evaluation.measures import (
    ERROR_THRESHOLDS,
    FINE_OVERLAP_THRESHOLDS,
    NORMALIZED_THRESHOLDS,
    OVERLAP_THRESHOLDS,
)
from spot.evaluation.vot import eao_lengths
from spot.runtime.errors import SpotError

# Okabe and Ito's colours, told apart by the colour-blind too; then the same dashed and dotted.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#8B5A2B", "#B8A800")
DASHES: tuple[str | tuple, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
LEGEND_INSIDE = 8
"""Up to this many trackers the legend finds room inside the axes."""
STYLE: Any = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "Times New Roman", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#D8D8D8",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.fontsize": 9.5,
    "legend.framealpha": 0.92,
    "legend.edgecolor": "#CCCCCC",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}
CURVES = {
    "success": (OVERLAP_THRESHOLDS, "success", "Success plot", "Overlap threshold", "Success rate"),
    "overlap": (FINE_OVERLAP_THRESHOLDS, "ao", "Success plot, all frames alike,", "Overlap threshold", "Success rate"),
    "precision": (ERROR_THRESHOLDS, "precision", "Precision plot", "Location error threshold [px]", "Precision"),
    "normalized_precision": (
        NORMALIZED_THRESHOLDS,
        "normalized_precision",
        "Normalised precision plot",
        "Normalised location error threshold",
        "Normalised precision",
    ),
}


# Hydra's logging shows what a PDF's fonts are cut down to, at length.
logging.getLogger("fontTools").setLevel(logging.WARNING)


def draw_plots(outcome: EvaluationResult, folder: Path) -> list[Path]:
    """Draw all that the outcome holds.

    Returns:
        The PNG files, in the order of a report; each has a PDF beside it.
    """
    written = []
    for key, (x, measure, title, x_label, y_label) in CURVES.items():
        if any(key in row.curves for row in outcome.trackers):
            figure = _curves(outcome, key, measure, x, f"{title} on {outcome.benchmark}", x_label, y_label)
            written.append(_save(figure, folder / key))
    if any("expected_overlap" in row.curves for row in outcome.trackers):
        written.append(_save(_expected_overlap(outcome), folder / "expected_overlap"))
    if any("recall_precision" in row.curves for row in outcome.trackers):
        written.append(_save(_recall_precision(outcome), folder / "precision_recall"))
    if len(outcome.attribute_sizes) >= 3:
        written.append(_save(_radar(outcome), folder / "attributes"))
    for run, points in epoch_series(outcome).items():
        written.append(_save(_epochs(outcome, run, points), folder / f"epochs_{re.sub(r'[^A-Za-z0-9.+-]', '_', run)}"))
    return written


def _save(figure: Figure, stem: Path) -> Path:
    with rc_context(STYLE):
        png = stem.with_name(stem.name + ".png")
        figure.savefig(png, dpi=200)
        figure.savefig(stem.with_name(stem.name + ".pdf"), metadata={"CreationDate": None})
    return png


def _figure(width: float = 5.2, height: float = 4.0, **axes: object) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot(**axes)


def _styles() -> cycle:
    return cycle([(colour, dash) for dash in DASHES for colour in COLOURS])


def _styled(outcome: EvaluationResult, key: str) -> list[tuple[TrackerOutcome, dict]]:
    """Trackers that have the curve, each with its looks, which are the same in all plots of the outcome."""
    looks = [
        {"color": colour, "linestyle": dash} for _, (colour, dash) in zip(outcome.trackers, _styles(), strict=False)
    ]
    return [(row, look) for row, look in zip(outcome.trackers, looks, strict=True) if key in row.curves]


def _curves(
    outcome: EvaluationResult, key: str, measure: str, x: np.ndarray, title: str, x_label: str, y_label: str
) -> Figure:
    """One curve a tracker; the legend is sorted by the score that stands in it."""
    with rc_context(STYLE):
        figure, axes = _figure(5.2 if len(outcome.trackers) <= LEGEND_INSIDE else 7.4)
        rows = sorted(_styled(outcome, key), key=lambda r: -r[0].values[measure])
        for order, (row, look) in enumerate(rows):
            mark = " *" if row.missing else ""
            label = f"[{row.values[measure]:.3f}] {row.name}{mark}"
            axes.plot(x, row.curves[key], **look, label=label, zorder=3 + len(rows) - order)
        axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(0, x[-1]), ylim=(0, 1))
        axes.set_yticks(np.arange(0, 1.01, 0.2))
        _legend(axes, len(rows), "lower left" if key in ("success", "overlap") else "upper left")
    return figure


def _legend(axes: Axes, entries: int, inside: Any) -> None:
    """Inside the axes while there is room, else at their right."""
    if entries <= LEGEND_INSIDE:
        axes.legend(loc="best" if entries > 4 else inside, handlelength=1.8)
    else:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=1 + entries // 25, handlelength=1.8)


def _expected_overlap(outcome: EvaluationResult) -> Figure:
    with rc_context(STYLE):
        figure, axes = _figure()
        for row, look in _styled(outcome, "expected_overlap"):
            curve = row.curves["expected_overlap"]
            lengths = np.arange(1, len(curve) + 1)
            axes.plot(lengths, curve, **look, label=f"[{row.values['eao']:.3f}] {row.name}")
        axes.set(
            title=f"Expected average overlap on {outcome.benchmark}",
            xlabel="Sequence length [frames]",
            ylabel="Expected average overlap",
            ylim=(0, 1),
        )
        low, high = eao_lengths(outcome.benchmark)
        axes.axvspan(low, high, color="#EEEEEE", zorder=0)
        axes.set_xlim(1, 2.5 * high)
        _legend(axes, len(outcome.trackers), "upper right")
    return figure


def _recall_precision(outcome: EvaluationResult) -> Figure:
    with rc_context(STYLE):
        figure, axes = _figure()
        for row, look in _styled(outcome, "recall_precision"):
            recall, precision = row.curves["recall_precision"]
            axes.plot(recall, precision, **look, label=f"[{row.values['f1']:.3f}] {row.name}")
            axes.plot(row.values["recall"], row.values["precision"], "o", color=look["color"], markersize=5)
        axes.set(
            title=f"Precision and recall on {outcome.benchmark}",
            xlabel="Recall",
            ylabel="Precision",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        _legend(axes, len(outcome.trackers), "lower left")
    return figure


def _radar(outcome: EvaluationResult) -> Figure:
    """The main measure of each attribute, a polygon a tracker."""
    with rc_context(STYLE):
        figure, axes = _figure(6.4, 5.2, projection="polar")
        names = list(outcome.attribute_sizes)
        angles = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
        closed = np.append(angles, angles[0])
        axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
        axes.set_theta_direction(-1)  # type: ignore[attr-defined]
        top = 0.0
        for row, (colour, dash) in zip(outcome.trackers, _styles(), strict=False):
            values = np.array([row.attributes.get(name, np.nan) for name in names])
            top = max(top, float(np.nanmax(values)))
            label = f"[{row.values[outcome.main.key]:.3f}] {row.name}"
            axes.plot(closed, np.append(values, values[0]), color=colour, linestyle=dash, label=label, linewidth=1.5)
        axes.set_xticks(angles, [_broken(name, outcome.attribute_sizes[name]) for name in names], fontsize=9)
        for text, angle in zip(axes.get_xticklabels(), angles, strict=True):
            side = np.sin(angle)
            text.set_horizontalalignment("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
        axes.tick_params(axis="x", pad=2)
        axes.set_ylim(0, min(1.0, np.ceil(top * 10) / 10))
        axes.set_rlabel_position(180 / len(names))  # type: ignore[attr-defined]
        axes.tick_params(axis="y", labelsize=8, labelcolor="#666666")
        axes.spines["polar"].set_color("#BBBBBB")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=min(3, len(outcome.trackers)), frameon=False)
        axes.set_title(f"{outcome.main.title} by attribute on {outcome.benchmark}", pad=22)
    return figure


def _broken(name: str, videos: int) -> str:
    """An attribute's name over several short lines, with the number of its videos or frames."""
    lines = [""]
    for word in re.split(r"[ _]+", name):
        if lines[-1] and len(lines[-1]) + len(word) > 11:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines) + f" ({videos})"


def _epochs(outcome: EvaluationResult, run: str, points: Sequence[tuple[int, TrackerOutcome]]) -> Figure:
    """Measures over the epochs of a run, with the warning that belongs under such a picture."""
    with rc_context(STYLE):
        figure, axes = _figure(5.6, 4.2)
        epochs = [epoch for epoch, _ in points]
        for measure, (colour, dash) in zip([m for m in outcome.measures if m.share][:3], _styles(), strict=False):
            values = [100 * row.values[measure.key] for _, row in points]
            axes.plot(epochs, values, color=colour, linestyle=dash, marker="o", markersize=4, label=measure.title)
        axes.set(title=f"{run} on {outcome.benchmark}", xlabel="Epoch", ylabel="Score [%]")
        axes.legend(loc="best")
        figure.supxlabel(_wrapped(CHOOSING, 84), fontsize=8, color="#555555")
    return figure


def _wrapped(text: str, width: int) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def draw_exploration(metrics: str | Path, stem: str | Path) -> Path:
    """Explored share and pseudo-label IoU over the epochs of a training run.

    Args:
        metrics: CSV with the columns epoch, explored_fraction and pseudo_label_iou (fractions of 1); rows of one epoch are
            merged, empty cells are allowed.
        stem: path of the picture without suffix; a PNG and a PDF are written.

    Returns:
        The PNG.

    Raises:
        SpotError: the file has neither column.
    """
    columns = _read_columns(
        Path(metrics), {"explored_fraction": "Explored frames", "pseudo_label_iou": "Pseudo-label IoU"}
    )
    with rc_context(STYLE):
        figure, axes = _figure(5.6, 3.6)
        for (title, series), (colour, dash) in zip(columns.items(), _styles(), strict=False):
            epochs = sorted(series)
            axes.plot(
                epochs,
                [series[e] for e in epochs],
                color=colour,
                linestyle=dash,
                marker="o",
                markersize=3.5,
                label=title,
            )
        axes.set(title="PseudoLabels of the training videos", xlabel="Epoch", ylabel="Share, IoU", ylim=(0, 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best")
    return _save(figure, Path(stem))


def _read_columns(path: Path, titles: Mapping[str, str]) -> dict[str, dict[int, float]]:
    """{title: {epoch: value}} of the columns that are there; names may carry a prefix such as `train/`."""
    found: dict[str, dict[int, float]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            for name, value in record.items():
                title = titles.get((name or "").rsplit("/", 1)[-1])
                if title and value and record.get("epoch"):
                    found.setdefault(title, {})[int(float(record["epoch"]))] = float(value)
    if not found:
        raise SpotError(f"{path} has no column named {' or '.join(titles)}")
    return found
