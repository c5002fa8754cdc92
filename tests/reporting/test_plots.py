"""Plots: what stands in them, not how they look."""

import numpy as np
import pytest

from spot.evaluation.evaluation_result import OPE_MEASURES, EvaluationResult, TrackerResult, epoch_series
from spot.reporting import plots


def result_of(names, **values):
    rows = []
    for i, name in enumerate(names):
        row = TrackerResult(name, {m.key: 0.5 - 0.01 * i for m in OPE_MEASURES} | values, ("v",))
        row.curves = {
            "success": np.linspace(1, 0, 21),
            "precision": np.linspace(0, 1, 51),
            "normalized_precision": np.linspace(0, 1, 51),
        }
        rows.append(row)
    return EvaluationResult("Toy", "pysot", "a toolkit", OPE_MEASURES, rows)


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_legends_are_sorted_by_their_own_score():
    result = result_of(["first", "second"])
    result.trackers[1].values["precision"] = 0.9
    success, precision = (plots.draw_curves(result, key) for key in ("success", "precision"))
    assert legend_of(success) == ["[0.500] first", "[0.490] second"]
    assert legend_of(precision) == ["[0.900] second", "[0.500] first"]
    colours = [{line.get_label()[8:]: line.get_color() for line in f.axes[0].lines} for f in (success, precision)]
    assert colours[0] == colours[1]  # a tracker keeps its colour


def test_thirty_trackers_can_be_told_apart():
    figure = plots.draw_curves(result_of([f"t{i}" for i in range(30)]), "success")
    assert len({(line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].lines}) == 30


@pytest.mark.parametrize("count", [1, 3, 12])
def test_the_legend_hides_nothing(count, tmp_path):
    figure = plots.draw_curves(result_of([f"a tracker of name {i}" for i in range(count)]), "success")
    figure.canvas.draw()
    axes = figure.axes[0]
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < axes.get_window_extent().y0  # below the axes
    assert legend.y1 <= axes.xaxis.label.get_window_extent().y0


def test_names_are_drawn_as_they_are(tmp_path):
    names = ["a$b", "$x^2$", "a_[1]{2}", "_hidden", r"back\slash", "50%"]
    figure = plots.draw_curves(result_of(names), "success")
    assert [text[8:] for text in legend_of(figure)] == [name.replace("$", r"\$") for name in names]
    assert plots.save(figure, tmp_path / "x").is_file()


def test_partly_evaluated_trackers_are_marked():
    result = result_of(["a"])
    result.trackers[0].missing = ("w",)
    assert legend_of(plots.draw_curves(result, "success")) == ["[0.500] a *"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["run_e010", "run_e020", "other"], {"run": [10, 20]}),
        (["sp_epoch5", "sp_epoch10"], {"sp": [5, 10]}),
        (["run_e010_teacher", "run_e020_teacher", "run_e010"], {"run_teacher": [10, 20]}),
        (["run_e010", "other"], {}),
        (["Ocean", "ATOM"], {}),
    ],
)
def test_epochs_are_read_from_the_names(names, expected):
    series = epoch_series(result_of(names))
    assert {run: [epoch for epoch, _ in points] for run, points in series.items()} == expected


def test_the_radar_needs_three_attributes(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "save", lambda figure, stem: stem)
    result = result_of(["a"])
    for attributes in (["x", "y"], ["x", "y", "Aspect Ratio Change"]):
        result.attribute_sizes = dict.fromkeys(attributes, 3)
        result.trackers[0].attributes = dict.fromkeys(attributes, 0.4)
        written = plots.draw_plots(result, tmp_path)
        assert (tmp_path / "attributes" in written) == (len(attributes) == 3)


def test_exploration_is_drawn_over_the_epochs_that_have_it(tmp_path, monkeypatch):
    drawn = {}
    draw = plots.draw_lines
    monkeypatch.setattr(plots, "draw_lines", lambda lines, *texts: drawn.update(lines) or draw(lines, *texts))
    rows = {
        1: {"train/loss": "2.5"},
        2: {"explored_fraction": "0.2", "pseudo_label_iou": "0.6"},
        3: {"explored_fraction": "0.4"},
    }
    picture = plots.draw_exploration(rows, tmp_path / "exploration")
    assert picture.stat().st_size > 10_000
    assert picture.with_suffix(".pdf").is_file()
    assert drawn == {"Explored frames": {2: 0.2, 3: 0.4}, "Pseudo-label IoU": {2: 0.6}}


def test_nothing_explored_is_no_picture(tmp_path):
    assert plots.draw_exploration({1: {"loss": "1"}}, tmp_path / "x") is None
    assert not list(tmp_path.iterdir())
