"""Plots for papers: PNG and PDF, drawn without a display."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spot.evaluation.evaluation_result import CHOOSING, EvaluationResult, TrackerResult, epoch_series
from spot.evaluation.measures import (
    ERROR_THRESHOLDS,
    FINE_OVERLAP_THRESHOLDS,
    NORMALIZED_THRESHOLDS,
    OVERLAP_THRESHOLDS,
)
from spot.evaluation.vot.supervised import eao_lengths
from spot.reporting.escaping import plot_text
from spot.runtime.atomic_files import replacing

# Okabe and Ito's colours, which colour-blind readers can tell apart; further trackers get them dashed and dotted.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#8B5A2B", "#B8A800")
DASHES: tuple[str | tuple, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
LEGEND_WIDTH = 34
"""Characters of a label that fit into a legend of two columns."""
STYLE: Any = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "Times New Roman", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#D8D8D8",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}
# fontTools logs at length which glyphs a PDF keeps, and Hydra would show it.
logging.getLogger("fontTools").setLevel(logging.WARNING)


class Curve(NamedTuple):
    """A kind of plot: thresholds (None: 1, 2, ...), the measure in the legend, title, labels of the axes."""

    x: np.ndarray | None
    measure: str
    title: str
    x_label: str
    y_label: str


_OVERLAP, _NORMALIZED, _EAO = "Overlap threshold", "Normalised location error threshold", "Expected average overlap"
CURVES = {
    "success": Curve(OVERLAP_THRESHOLDS, "success", "Success plot", _OVERLAP, "Success rate"),
    "overlap": Curve(FINE_OVERLAP_THRESHOLDS, "ao", "Success plot over all frames", _OVERLAP, "Success rate"),
    "precision": Curve(ERROR_THRESHOLDS, "precision", "Precision plot", "Location error threshold [px]", "Precision"),
    "normalized_precision": Curve(
        NORMALIZED_THRESHOLDS, "normalized_precision", "Normalised precision plot", _NORMALIZED, "Normalised precision"
    ),
    "expected_overlap": Curve(None, "eao", _EAO, "Sequence length [frames]", _EAO),
    "recall_precision": Curve(None, "f1", "Precision and recall", "Recall", "Precision"),
}
_FILES = {"recall_precision": "precision_recall"}


def draw_plots(result: EvaluationResult, folder: Path) -> list[Path]:
    """Draw everything that the result holds.

    Returns:
        The PNG files, in the order of a report; each has a PDF beside it.
    """
    written = [
        save(draw_curves(result, key), folder / _FILES.get(key, key))
        for key in CURVES
        if any(key in row.curves for row in result.trackers)
    ]
    if len(result.attribute_sizes) >= 3:
        written.append(save(_radar(result), folder / "attributes"))
    for run, points in epoch_series(result).items():
        written.append(save(_epochs(result, run, points), folder / f"epochs_{re.sub(r'[^A-Za-z0-9.+-]', '_', run)}"))
    return written


def save(figure: Figure, stem: Path) -> Path:
    """Write a figure as PNG and PDF, each atomically; return the PNG."""
    with rc_context(STYLE):
        for kind, options in (("png", {"dpi": 200}), ("pdf", {"metadata": {"CreationDate": None}})):
            with replacing(stem.with_name(f"{stem.name}.{kind}")) as aside:
                figure.savefig(aside, format=kind, bbox_inches="tight", **options)
    return stem.with_name(stem.name + ".png")


def new_figure(width: float = 5.2, height: float = 4.0, **axes: object) -> tuple[Figure, Axes]:
    """Make a figure of that size in inches, with one set of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot(**axes)


def line_styles() -> Iterator[dict[str, Any]]:
    """Give a colour and a dash for each line, without end."""
    while True:
        yield from ({"color": colour, "linestyle": dash} for dash, colour in product(DASHES, COLOURS))


def draw_curves(result: EvaluationResult, key: str) -> Figure:
    """Draw one kind of curve, a line a tracker; the legend below is sorted by the score in it."""
    kind = CURVES[key]
    # a tracker looks the same in all plots
    rows = [(row, look) for row, look in zip(result.trackers, line_styles(), strict=False) if key in row.curves]
    with rc_context(STYLE):
        figure, axes = new_figure()
        for row, look in sorted(rows, key=lambda r: -r[0].values[kind.measure]):
            curve = row.curves[key]
            x = np.arange(1, len(curve) + 1) if kind.x is None else kind.x
            line = curve if curve.ndim > 1 else (x, curve)
            axes.plot(*line, **look, label=_label(row, kind.measure))
            if key == "recall_precision":
                axes.plot(row.values["recall"], row.values["precision"], "o", color=look["color"], markersize=5)
        title = f"{kind.title} on {plot_text(result.benchmark)}"
        axes.set(title=title, xlabel=kind.x_label, ylabel=kind.y_label, ylim=(0, 1))
        axes.set_xlim(0, 1 if kind.x is None else kind.x[-1])
        if key == "expected_overlap":
            low, high = eao_lengths(result.benchmark)
            axes.axvspan(low, high, color="#EEEEEE", zorder=0)
            axes.set_xlim(1, 2.5 * high)
        legend_below(axes)
    return figure


def _label(row: TrackerResult, measure: str) -> str:
    return f"[{row.values[measure]:.3f}] {plot_text(row.name)}{' *' if row.missing else ''}"


def legend_below(axes: Axes) -> None:
    """Put the legend below the axes, where it hides nothing, and make the figure as much higher."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > LEGEND_WIDTH or len(labels) == 1 else 2
    figure: Any = axes.figure
    figure.set_figheight(figure.get_figheight() + 0.21 * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=1.8)


def _radar(result: EvaluationResult) -> Figure:
    """Return the main measure of each attribute, one polygon a tracker."""
    with rc_context(STYLE):
        figure, axes = new_figure(6.4, 5.2, projection="polar")
        polar: Any = axes
        names = list(result.attribute_sizes)
        angles = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
        polar.set_theta_offset(np.pi / 2)
        polar.set_theta_direction(-1)
        values = np.array([[row.attributes.get(name, np.nan) for name in names] for row in result.trackers])
        for row, own, look in zip(result.trackers, values, line_styles(), strict=False):
            label = _label(row, result.main.key)
            axes.plot(np.append(angles, angles[0]), np.append(own, own[0]), **look, label=label, linewidth=1.5)
        texts = [f"{textwrap.fill(plot_text(n.replace('_', ' ')), 12)} ({result.attribute_sizes[n]})" for n in names]
        axes.set_xticks(angles, texts, fontsize=9)
        for text, angle in zip(axes.get_xticklabels(), angles, strict=True):
            side = np.sin(angle)
            text.set_horizontalalignment("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
        axes.tick_params(axis="x", pad=8)
        axes.set_ylim(0, min(1.0, np.ceil(np.nanmax(values) * 10) / 10))
        polar.set_rlabel_position(180 / len(names))
        axes.tick_params(axis="y", labelsize=8, labelcolor="#666666")
        axes.set_title(f"{result.main.title} by attribute on {plot_text(result.benchmark)}", pad=22)
        legend_below(axes)
    return figure


def _epochs(result: EvaluationResult, run: str, points: Sequence[tuple[int, TrackerResult]]) -> Figure:
    """Measures over the epochs of a run, with a warning below."""
    fractions = [m for m in result.measures if m.is_fraction][:3]
    lines = {m.title: {epoch: 100 * row.values[m.key] for epoch, row in points} for m in fractions}
    figure = draw_lines(lines, f"{run} on {result.benchmark}", "Epoch", "Score [%]")
    with rc_context(STYLE):
        figure.legends[0].set_title(textwrap.fill(CHOOSING, 84))
    figure.legends[0].get_title().set_fontsize(8)
    figure.set_figheight(figure.get_figheight() + 0.4)
    return figure


def draw_lines(lines: Mapping[str, Mapping[Any, float]], title: str, x_label: str, y_label: str) -> Figure:
    """Draw lines with a marker at each point: {label: {x: y}}."""
    with rc_context(STYLE):
        figure, axes = new_figure(5.6, 4.0)
        for (label, points), look in zip(lines.items(), line_styles(), strict=False):
            x = sorted(points)
            axes.plot(x, [points[each] for each in x], **look, marker="o", markersize=4, label=plot_text(label))
        axes.set(title=plot_text(title), xlabel=plot_text(x_label), ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        legend_below(axes)
    return figure


def draw_exploration(rows: Mapping[int, Mapping[str, str]], stem: str | Path) -> Path | None:
    """Draw explored fraction and pseudo-label IoU over the epochs of a training run.

    Args:
        rows: epoch to the cells of its row in metrics.csv, of which explored_fraction and pseudo_label_iou are drawn.
        stem: path of the picture without suffix; a PNG and a PDF are written.

    Returns:
        The PNG; None where no epoch has either value.
    """
    titles = {"explored_fraction": "Explored frames", "pseudo_label_iou": "Pseudo-label IoU"}
    lines = {title: {e: float(row[key]) for e, row in rows.items() if row.get(key)} for key, title in titles.items()}
    if not any(lines.values()):
        return None
    shown = {title: points for title, points in lines.items() if points}
    figure = draw_lines(shown, "Pseudo labels of the training videos", "Epoch", "Fraction, IoU")
    figure.axes[0].set_ylim(0, 1)
    return save(figure, Path(stem))
