"""Tables: nothing is cut, and names are shown as they are."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from spot.evaluation.evaluation_result import OPE_MEASURES, EvaluationResult, TrackerResult
from spot.reporting import escaping, tables

AWKWARD = r"a^b\c~d|e[1]&f%g$h#i_j<k>*l{m}"


def result_of(*names):
    rows = [
        TrackerResult(name, {m.key: 0.123456 + 0.1 * i for m in OPE_MEASURES} | {"fps": 61.0}, ("v",))
        for i, name in enumerate(names)
    ]
    return EvaluationResult("Toy", "pysot", "a toolkit", OPE_MEASURES, rows)


def test_a_pipe_gets_all_columns_and_digits(capsys):
    tables.print_table(result_of("a" * 90, "b"))
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if "a" * 90 in line)
    assert row.split()[1:] == ["12.35"] * 5 + ["12.35", "61.0", "1"]
    assert "left out" not in text


@pytest.mark.parametrize("width", [10, 24, 40, 60, 75])
def test_a_narrow_terminal_gets_fewer_columns_and_is_told_which(capsys, width):
    result = result_of("a" * 30, "b")
    tables.print_table(result, Path("out/table.csv"), width)
    text = capsys.readouterr().out
    titles = list(tables.cells_of(result, short=True))
    table, _, left_out = text.partition("Columns left out because the terminal is narrow: ")
    assert "12.35" in table
    head = next(line for line in table.splitlines() if line.startswith("Tracker"))
    assert len(head) <= max(width, 41)  # the name and one measure always stay
    assert [title for title in titles if title in head] + left_out.split(";")[0].split(", ") == titles
    assert "all columns are in out/table.csv" in left_out
    row = next(line for line in table.splitlines() if line.startswith("a" * 30))
    assert set(row.split()[1:]) <= {"12.35", "61.0"}


def test_a_wide_terminal_gets_all(capsys):
    tables.print_table(result_of("a"), width=140)
    assert "left out" not in capsys.readouterr().out


def test_names_are_no_markup(capsys):
    tables.print_table(result_of("[bold]x[/bold]"))
    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_latex_is_escaped(tmp_path):
    """Every special character has a form that TeX prints."""
    tables.write_tables(result_of(AWKWARD, "[x]"), tmp_path, per_video=False)
    text = (tmp_path / "table.tex").read_text()
    assert escaping.latex(AWKWARD) in text
    assert escaping.latex(AWKWARD) == (
        r"a\textasciicircum{}b\textbackslash{}c\textasciitilde{}d\textbar{}e{[}1{]}\&f\%g\$h\#i\_j\textless{}k\textgreater{}*l\{m\}"
    )
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert not any(line.startswith("[") for line in rows)  # else TeX takes it for an option of the row before


def test_markdown_is_escaped(tmp_path):
    tables.write_tables(result_of(AWKWARD, "run_e010"), tmp_path, per_video=False)
    rows = [line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in rows} == {len(rows[0].split("|")) - 1}
    assert any(line.startswith("| run_e010 |") for line in rows)
    assert r"a\^b\\c\~d\|e\[1\]&amp;f%g\$h\#i_j&lt;k&gt;\*l\{m\}" in "".join(rows)


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x"])
def test_csv_holds_no_formulas(tmp_path, name):
    result = result_of(name)
    result.trackers[0].per_video = {"success": np.array([-0.5])}
    tables.write_tables(result, tmp_path, per_video=True)
    for file in ("table.csv", "videos.csv"):
        with open(tmp_path / file, newline="") as text:
            (row,) = csv.DictReader(text)
        assert row["tracker"] == f"'{name}"
        assert float(row["success"]) in (0.123456, -0.5)  # numbers stay numbers
    assert list(json.loads((tmp_path / "summary.json").read_text())) == [name]


def test_csv_quotes_separators(tmp_path):
    tables.write_tables(result_of('a,b "c"'), tmp_path, per_video=False)
    with open(tmp_path / "table.csv", newline="") as text:
        assert [row["tracker"] for row in csv.DictReader(text)] == ['a,b "c"']


def test_numbers_that_are_unknown_are_no_json_nan(tmp_path):
    result = result_of("a")
    result.trackers[0].values["ao"] = np.nan
    result.trackers[0].intervals = {"ao": (np.nan, np.nan)}
    result.trackers[0].curves = {"success": np.array([1, np.nan])}
    tables.write_tables(result, tmp_path, per_video=False)
    table = json.loads((tmp_path / "table.json").read_text(), parse_constant=pytest.fail)
    assert table["trackers"]["a"]["values"]["ao"] is None
    assert table["trackers"]["a"]["curves"]["success"] == [1, None]


def test_the_best_needs_a_rival_and_all_videos():
    result = result_of("a", "b", "c")
    result.trackers[0].missing = ("w",)
    best = tables.best_of(result)["success"]
    assert best.tolist() == [False, True, False]
    assert not tables.best_of(result_of("a")).to_numpy().any()
