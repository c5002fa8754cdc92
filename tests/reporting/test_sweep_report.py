"""Tables and plots over the jobs of a sweep."""

import csv
from types import SimpleNamespace

import pytest

from spot.evaluate import evaluate
from spot.reporting.publishing import publish
from spot.reporting.sweep_report import JobRow, epochs_of, last_epoch, latest_trackers, print_sweep, write_sweep
from spot.runtime.sweeps import Sweep
from tests.training.configs import composed


def test_the_last_epoch_of_a_job_counts_and_its_teacher_first():
    """Not the best one: choosing by the score would be choosing on the test set."""
    results = [
        "study_labels-2_teacher_e002",
        "study_labels-2_teacher_e010",
        "study_labels-2_student_e010",
        "study_labels-20_teacher_e050",  # another job, whose name begins alike
        "other_labels-2_teacher_e099",
        "study_labels-3_student_e004",
        "study_labels-5_mine",
    ]
    found = latest_trackers(["labels-2", "labels-3", "labels-5"], "study", results)
    assert found == {"labels-2": "study_labels-2_teacher_e010", "labels-3": "study_labels-3_student_e004"}


def test_a_run_does_not_take_the_results_of_another_whose_name_begins_alike():
    results = [
        "demo_teacher_e010",
        "demo_big_teacher_e010",
        "demo_e005",
        "demo",
        "demo_student_e010",
        "demo_teacher_e010_x",
    ]
    assert [name for *_, name in epochs_of("demo", results)] == ["demo_e005", "demo_student_e010", "demo_teacher_e010"]


def rows():
    return [
        JobRow(
            f"arch-{arch}_labels-{k}",
            {"arch": arch, "labels": str(k)},
            "t",
            {"epoch": 3, "explored_fraction": 0.25},
            {"success": 0.1 * k, "mao": 0.2},
        )
        for arch in ("transt", "ocean")
        for k in (10, 2, 3)
    ] + [JobRow("arch-transt_labels-40", {"arch": "transt", "labels": "40"})]


def test_a_row_a_job_with_its_overrides_and_scores(tmp_path):
    table, text, plot = write_sweep(rows(), "study on Synthetic", tmp_path)
    with table.open() as file:
        read = list(csv.DictReader(file))
    assert len(read) == 7
    assert [row["labels"] for row in read] == ["2", "3", "10", "2", "3", "10", "40"]  # by size
    assert (read[2]["arch"], float(read[2]["success"])) == ("ocean", 1.0)
    assert read[-1]["success"] == ""
    lines = text.read_text().splitlines()
    assert "| arch | labels | Epochs | Explored | Success |" in lines
    assert "| transt | 2 | 3 | 25.0 | 20.0 |" in lines
    assert "| transt | 40 | - | - | - |" in lines
    assert plot.read_bytes()[:4] == b"\x89PNG"
    assert plot.with_suffix(".pdf").is_file()


@pytest.fixture
def drawn(monkeypatch):
    """What a plot draws: label to (x, y), and the names of the axis."""
    from matplotlib.axes import Axes

    lines = {}
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, label=None, **_: lines.__setitem__(label, (x, y)))
    monkeypatch.setattr("spot.reporting.plots.legend_below", lambda axes: None)
    return lines


def test_numbers_are_the_axis_and_the_other_choices_the_lines(drawn, tmp_path):
    write_sweep(rows(), "study", tmp_path)
    assert set(drawn) == {"arch=transt", "arch=ocean"}
    assert drawn["arch=transt"] == ([2.0, 3.0, 10.0], pytest.approx([0.2, 0.3, 1.0]))  # by value, not as text


def test_without_scores_the_labels_are_drawn(drawn, tmp_path):
    jobs = [JobRow(a, {"arch": a}, None, {"pseudo_label_iou": v}) for a, v in (("ocean", 0.5), ("transt", 0.7))]
    write_sweep(jobs, "study", tmp_path)
    assert drawn == {"": ([0, 1], [0.5, 0.7])}


def test_nothing_to_draw_is_no_plot(tmp_path):
    assert len(write_sweep([JobRow("job", {})], "study", tmp_path)) == 2


def test_the_printed_table(capsys):
    print_sweep(rows(), "study on Synthetic")
    assert "Success" in capsys.readouterr().out


def test_the_last_row_of_the_metrics():
    assert last_epoch({}) == {}
    rows = {1: {"epoch": "1", "explored_fraction": "0.1"}, 2: {"epoch": "2", "pseudo_label_iou": "0.5", "x": "1"}}
    assert last_epoch(rows) == {"epoch": 2, "pseudo_label_iou": 0.5}


def test_an_evaluation_is_published_with_its_table_and_plots(tmp_path):
    pytest.importorskip("wandb")
    (_, _, plot) = write_sweep(rows(), "study", tmp_path)
    told = {}
    summary = {"a_e002": {"success": 0.4, "fps": 50.0}, "a_e003": {"success": 0.5}}
    publish(SimpleNamespace(log=told.update), "OTB100", summary, tmp_path, tracker="a_e003")
    table = told["evaluation/OTB100/table"]
    assert table.columns == ["tracker", "success", "fps"]
    assert table.data == [["a_e002", 0.4, 50.0], ["a_e003", 0.5, None]]
    assert told["evaluation/OTB100/success"] == 0.5
    assert f"evaluation/OTB100/{plot.stem}" in told


def test_sweeps_of_one_name_in_two_groups_have_reports_of_their_own(tmp_path):
    for group in ("a", "b"):
        Sweep(tmp_path / group / "x", "train", {"labels-2": {"labels": "2"}}).write()
    written = [evaluate(composed("evaluate", f"paths.outputs={tmp_path}", f"sweep={group}/x")) for group in ("a", "b")]
    assert [files[0].parent.name for files in written] == ["a_x", "b_x"]
    assert all(file.is_file() for files in written for file in files)
