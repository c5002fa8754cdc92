"""From result folders to everything that is written."""

import csv
import json

import numpy as np
import pytest

from spot.reporting.evaluate_benchmark import evaluate
from spot.reporting.options import Options
from spot.results.server_zips import server_of
from spot.runtime.errors import SpotError
from tests.evaluation.helpers import make_videos, write_tracker

NUMBERS_ONLY = {"plots": False, "report": False}


@pytest.fixture
def videos():
    return make_videos((*(f"video-{i}" for i in range(5)), "two"))


@pytest.fixture
def results(tmp_path, videos):
    for i, (name, noise) in enumerate((("good", 1), ("bad", 12), ("run_e010", 6), ("run_e020", 3))):
        write_tracker(tmp_path / "results/Toy" / name, videos, noise, seed=i)
    return tmp_path / "results"


def test_everything_that_is_written(tmp_path, videos, results, capsys):
    options = Options(bootstrap=50, compare=("good", "bad"))
    summary = evaluate(videos, results, None, tmp_path / "out", options)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {
        "summary.json",
        "table.csv",
        "table.json",
        "table.md",
        "table.tex",
        "videos.csv",
        "attributes.csv",
        "report.html",
    }
    for plot in ("success", "precision", "normalized_precision", "epochs_run"):
        assert (tmp_path / "out" / f"{plot}.png").stat().st_size > 10_000
        assert (tmp_path / "out" / f"{plot}.pdf").read_bytes().startswith(b"%PDF")
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    printed = capsys.readouterr().out.split()
    assert printed[-1] == str(tmp_path / "out/report.html")
    assert printed.index("good") < printed.index("bad")


def test_summary_holds_fractions_sorted_by_success(videos, results):
    summary = evaluate(videos, results, options=Options(**NUMBERS_ONLY), quiet=True)
    assert list(summary) == ["good", "run_e020", "run_e010", "bad"]
    assert {"success", "precision", "normalized_precision", "ao", "sr50", "sr75"} <= set(summary["good"])
    assert all(0 <= value <= 1 for values in summary.values() for value in values.values())


@pytest.mark.parametrize("protocol", ["pysot", "pytracking", "stark", "got10k"])
def test_the_tables_say_which_protocol(tmp_path, videos, results, protocol):
    evaluate(videos, results, ["good"], tmp_path / "out", Options(protocol=protocol, **NUMBERS_ONLY), quiet=True)
    assert f"Protocol {protocol}: the rules of" in (tmp_path / "out/table.md").read_text()
    assert f"Protocol {protocol}: the rules of" in (tmp_path / "out/table.tex").read_text()
    assert json.loads((tmp_path / "out/table.json").read_text())["protocol"] == protocol


def test_tables_agree_with_each_other(tmp_path, videos, results):
    summary = evaluate(
        videos, results, ["good", "bad"], tmp_path / "out", Options(bootstrap=20, **NUMBERS_ONLY), quiet=True
    )
    with open(tmp_path / "out/table.csv", newline="") as file:
        rows = {row["tracker"]: row for row in csv.DictReader(file)}
    assert float(rows["good"]["success"]) == summary["good"]["success"]
    assert float(rows["good"]["success_low"]) < summary["good"]["success"] < float(rows["good"]["success_high"])
    markdown = (tmp_path / "out/table.md").read_text()
    assert f"| good | **{100 * summary['good']['success']:.2f} \\[" in markdown
    latex = (tmp_path / "out/table.tex").read_text()
    assert f"good & \\textbf{{{100 * summary['good']['success']:.2f} {{[}}" in latex
    with open(tmp_path / "out/videos.csv", newline="") as file:
        values = [float(row["success"]) for row in csv.DictReader(file) if row["tracker"] == "good"]
    assert np.mean(values) == pytest.approx(summary["good"]["success"], abs=1e-5)


def test_attributes_are_means_over_the_videos_that_have_them(tmp_path, videos, results):
    evaluate(videos, results, ["good"], tmp_path / "out", Options(**NUMBERS_ONLY), quiet=True)
    with open(tmp_path / "out/attributes.csv", newline="") as file:
        attributes = {row["attribute"]: row for row in csv.DictReader(file)}
    with open(tmp_path / "out/videos.csv", newline="") as file:
        success = {row["video"]: float(row["success"]) for row in csv.DictReader(file)}
    assert attributes["Fast Motion"]["videos"] == "1"
    assert float(attributes["Fast Motion"]["good"]) == pytest.approx(success["two"], abs=1e-6)
    assert attributes["Occlusion"]["videos"] == "6"


def test_missing_videos_stop_or_mark_the_row(tmp_path, videos, results):
    (results / "Toy/good/video-3.txt").unlink()
    with pytest.raises(SpotError, match="lacks 1 of 6 videos: video-3"):
        evaluate(videos, results, quiet=True)
    summary = evaluate(videos, results, None, tmp_path / "out", Options(missing="skip", **NUMBERS_ONLY), quiet=True)
    assert set(summary) == {"good", "bad", "run_e010", "run_e020"}
    markdown = (tmp_path / "out/table.md").read_text()
    assert r"| good \* |" in markdown
    assert "| 5/6 |" in markdown
    assert "has no results for video-3" in markdown
    best_line = next(line for line in markdown.splitlines() if line.startswith("| good"))
    assert "**" not in best_line  # a part of the videos wins nothing


def test_speed_appears_where_times_are(tmp_path, videos, results):
    for video in videos:
        (results / f"Toy/good/{video.name}_time.txt").write_text("0.02\n" * len(video))
    summary = evaluate(videos, results, ["good", "bad"], options=Options(**NUMBERS_ONLY), quiet=True)
    assert summary["good"]["fps"] == pytest.approx(50)
    assert "fps" not in summary["bad"]


def test_epochs_come_with_the_warning(tmp_path, videos, results):
    evaluate(videos, results, ["run_e*"], tmp_path / "out", Options(**NUMBERS_ONLY), quiet=True)
    assert "chosen on the test set" in (tmp_path / "out/table.md").read_text()


def test_withheld_truth_is_said(videos, results):
    hidden = videos.boxes.copy()
    for start, stop in zip(videos.offsets[:-1], videos.offsets[1:], strict=True):
        hidden[start + 1 : stop] = np.nan
    videos.boxes = hidden
    with pytest.raises(SpotError, match="Toy: no frame has a box but the first one of each video"):
        evaluate(videos, results, quiet=True)  # a folder of one's own has no server
    assert server_of("GOT-10k") == "got10k"
    assert server_of("Toy") is None


def test_three_trackers_cannot_be_compared():
    with pytest.raises(SpotError, match="needs two trackers"):
        Options(compare=("a", "b", "c"))


def test_comparing_with_a_tracker_that_is_not_there(videos, results):
    with pytest.raises(SpotError, match="compare=else is not among the trackers evaluated: good"):
        evaluate(videos, results, ["good"], options=Options(compare=("good", "else"), **NUMBERS_ONLY), quiet=True)


def add_rows(file, count):
    rows = file.read_text().splitlines()
    file.write_text("\n".join(rows + rows[-1:] * count if count > 0 else rows[:count]) + "\n")


@pytest.mark.parametrize("count", [2, -2])
def test_result_files_of_another_length_are_refused_by_pysot_with_the_remedy(videos, results, count):
    add_rows(results / "Toy/good/two.txt", count)
    with pytest.raises(SpotError, match=r"two.txt: 4\d rows, but video two has 45 frames; protocol=pytracking"):
        evaluate(videos, results, ["good"], options=Options(**NUMBERS_ONLY), quiet=True)


@pytest.mark.parametrize(
    ("protocol", "count", "note"),
    [
        ("pytracking", 2, "good: 1 result files have more rows than frames: the extra rows are cut"),
        ("stark", -2, "good: 1 result files have fewer rows than frames: filled up with empty boxes"),
        ("got10k", 2, "the extra rows are cut"),
        ("got10k", -2, "frames without a row are left out"),
    ],
)
def test_result_files_of_another_length_are_treated_as_the_toolkit_does(
    tmp_path, videos, results, protocol, count, note
):
    options = Options(protocol=protocol, **NUMBERS_ONLY)
    exact = evaluate(videos, results, ["good"], options=options, quiet=True)["good"]
    add_rows(results / "Toy/good/two.txt", count)
    fitted = evaluate(videos, results, ["good"], tmp_path / "out", options, quiet=True)["good"]
    assert note in (tmp_path / "out/table.md").read_text()
    if count > 0:
        assert fitted == exact
    elif protocol == "stark":  # an empty box repeats the one before, which is nearly right here
        assert fitted["success"] < exact["success"]
    else:
        assert fitted["ao"] == pytest.approx(exact["ao"], abs=0.02)


def test_short_results_of_lasot_are_refused_by_all(tmp_path):
    videos = make_videos(("monkey-17",))
    add_rows(write_tracker(tmp_path / "a", videos) / "monkey-17.txt", -1)
    with pytest.raises(SpotError, match="39 rows, but video monkey-17 has 40 frames"):
        evaluate(videos, tmp_path, benchmark="LaSOT", options=Options(protocol="pytracking"), quiet=True)


def test_the_one_video_of_lasot_that_all_results_overrun_is_cut(tmp_path):
    videos = make_videos(("monkey-17",))
    add_rows(write_tracker(tmp_path / "a", videos) / "monkey-17.txt", 1)
    assert (
        evaluate(videos, tmp_path, benchmark="LaSOT", options=Options(**NUMBERS_ONLY), quiet=True)["a"]["success"] > 0.5
    )


def test_repetitions_are_averaged_and_named(tmp_path, videos, results):
    for i in range(3):
        write_tracker(tmp_path / f"more/Toy/random/default_{i:03d}", videos, noise=1 + 5 * i, seed=i)
    singles = [
        evaluate(
            videos, tmp_path / "more/Toy/random", [f"default_{i:03d}"], options=Options(**NUMBERS_ONLY), quiet=True
        )
        for i in range(3)
    ]
    summary = evaluate(videos, tmp_path / "more", None, tmp_path / "out", Options(**NUMBERS_ONLY), quiet=True)["random"]
    for key in ("success", "precision", "ao"):
        assert summary[key] == pytest.approx(np.mean([values[key] for one in singles for values in one.values()]))
    assert "random: averaged over up to 3 repetitions" in (tmp_path / "out/table.md").read_text()


def test_times_of_repetitions_are_columns(tmp_path, videos, results):
    for video in videos:
        (results / f"Toy/good/{video.name}_time.txt").write_text("0.1,0.2,0.4\n" * len(video))
    summary = evaluate(videos, results, ["good"], options=Options(**NUMBERS_ONLY), quiet=True)
    assert summary["good"]["fps"] == pytest.approx(17.5 / 3)


def test_comparing_needs_two_common_videos(tmp_path):
    videos = make_videos(("one",))
    for name in "ab":
        write_tracker(tmp_path / name, videos)
    with pytest.raises(SpotError, match=r"compare=\[a,b\] needs at least two videos"):
        evaluate(videos, tmp_path, options=Options(compare=("a", "b"), **NUMBERS_ONLY), quiet=True)


def test_a_report_that_cannot_be_written_is_named(tmp_path, videos, results):
    (tmp_path / "out").write_text("")
    with pytest.raises(SpotError, match=r"out/summary.json: cannot be written"):
        evaluate(videos, results, ["good"], tmp_path / "out", Options(**NUMBERS_ONLY), quiet=True)
