"""Result files in all the forms in which the field passes them around."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spot.results.got10k_files import frames_per_second, read_seconds
from spot.results.plain_files import read_boxes
from spot.results.vot_files import corner_points, read_confidences, read_run
from spot.runtime.errors import SpotError

TABLE = [[1.5, 2, 30, 40], [5, 6.25, 7, 8]]


@pytest.fixture
def run_file(tmp_path):
    def write(text):
        (tmp_path / "file").write_text(text, newline="")
        return tmp_path / "file"

    return write


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1.5,2,30,40\n5,6.25,7,8\n", id="commas"),
        pytest.param("1.50,2.00,30.00,40.00\n5.00,6.25,7.00,8.00\n", id="fixed decimals"),
        pytest.param("1.5\t2\t30\t40\n5\t6.25\t7\t8\n", id="tabs"),
        pytest.param("1.5 2 30 40\n5 6.25  7 8\n", id="spaces"),
        pytest.param("1.5, 2, 30, 40\n5, 6.25, 7, 8", id="comma and space, no last newline"),
        pytest.param("1.5;2;30;40\n5;6.25;7;8\n", id="semicolons"),
        pytest.param("1.5,2,30,40\r\n5,6.25,7,8\r\n", id="Windows line ends"),
        pytest.param("1.5e0,2E+00,3.0e1,40\n5,0.625e+1,7,8\n", id="scientific"),
        pytest.param("+1.5,2.,30,40\n5,6.25,7,8\n", id="signs and bare points"),
        pytest.param("1.5,2,30,40,0.93\n5,6.25,7,8,0.5\n", id="a score behind"),
        pytest.param("1.5,2,30,40,\n5,6.25,7,8,\n", id="commas at the end"),
        pytest.param("[1.5, 2, 30, 40]\n[5, 6.25, 7, 8]\n", id="Python lists"),
        pytest.param("\ufeff1.5,2,30,40\n5,6.25,7,8\n\n\n", id="byte order mark, blank end"),
    ],
)
def test_every_form_gives_the_same_boxes(text, run_file):
    assert read_boxes(run_file(text)).tolist() == TABLE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "is empty", id="empty file"),
        pytest.param("1,2,3,4,5,6,7,8\n", "line 1: eight numbers are a polygon", id="polygons"),
        pytest.param("1,2,3,4\n1 2 3 4 5 6 7 8\n", "line 2: eight numbers are a polygon", id="a polygon among boxes"),
        pytest.param("1,2,3\n1,2,3\n", "line 1: 3 numbers where a box needs four", id="three columns"),
        pytest.param("1,2,3,4\n1,2,3\n1,2,3,4,5\n", "line 2: 3 numbers", id="rows that only make up in sum"),
        pytest.param("1,2,3,4\n\n1,2,3,4\n", "line 2: 0 numbers", id="a blank line"),
        pytest.param("1,2,,4,5\n", "line 1: '1,2,,4,5' is not a row of numbers", id="an empty cell"),
        pytest.param("x,y,w,h\n1,2,3,4\n", "line 1: 'x,y,w,h' is not a row of numbers", id="a header"),
        pytest.param("<html>\n", "is not a row of numbers", id="a web page"),
        pytest.param("1,2,3,4\n1,2,nan,4\n", "line 2: a box is not finite", id="NaN"),
        pytest.param("1,2,3,4\n1,2,inf,4\n", "line 2: a box is not finite", id="infinity"),
        pytest.param("1,2,3,4\n1,2,null,4\n", "line 2", id="JSON's null"),
        pytest.param("1.0.0,2,3,4\n", "is not a row of numbers", id="two points"),
        pytest.param("1-2,3,4,5\n", "is not a row of numbers", id="a minus inside"),
    ],
)
def test_what_is_no_box_is_named_by_file_and_line(text, complaint, run_file):
    with pytest.raises(SpotError, match=f"/file,? .*{complaint}"):
        read_boxes(run_file(text))


@given(
    st.lists(st.tuples(*[st.floats(-5000, 5000)] * 4), min_size=1, max_size=6),
    st.sampled_from(["{:.0f}", "{:.1f}", "{:.2f}", "{:.4f}", "{:.9f}", "{!r}", "{:.3e}"]),
)
def test_numbers_are_read_to_the_last_bit(rows, form):
    text = "\n".join(",".join(form.format(v) for v in row) for row in rows)
    expected = [[float(form.format(v)) for v in row] for row in rows]
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        assert read_boxes(Path(file.name)).tolist() == expected


def test_regions_and_codes(run_file):
    regions, codes = read_run(run_file("1\n10,20,30,40\n2\n0\n1,1,2,1,2,2,1,2\nnan,nan,nan,nan\nnan\n"))
    assert codes.tolist() == [1, -1, 2, 0, -1, 0, 0]
    assert regions[1].tolist() == [10, 20, 40, 20, 40, 60, 10, 60]
    assert regions[4].tolist() == [1, 1, 2, 1, 2, 2, 1, 2]
    assert np.isnan(regions[[0, 2, 3, 5, 6]]).all()


@pytest.mark.parametrize("line", ["1,2", "1,2,3,4,5,6"])
def test_other_regions_are_refused(run_file, line):
    with pytest.raises(SpotError, match=r"file, line 2: \d numbers; expected a code"):
        read_run(run_file(f"1\n{line}\n"))


@pytest.mark.parametrize("code", ["7", "-1", "0.5", "inf"])
def test_unknown_codes_are_refused(run_file, code):
    with pytest.raises(SpotError, match=f"file, line 2: {code} is not a code"):
        read_run(run_file(f"1\n{code}\n"))


def test_confidences_may_leave_the_first_line_empty(run_file):
    values = read_confidences(run_file("\n0.5\n1e-2\n"), "video", 3)
    assert np.isnan(values[0])
    assert values[1:].tolist() == [0.5, 0.01]
    with pytest.raises(SpotError, match="file, line 2: 'fast' is not a row of numbers"):
        read_confidences(run_file("1\nfast\n"), "video", 2)


def test_corner_points_go_clockwise():
    assert corner_points(np.array([[1, 2, 10, 20.0]])).tolist() == [[1, 2, 11, 2, 11, 22, 1, 22]]


def test_times_may_have_a_column_a_repetition(run_file):
    assert read_seconds(run_file("0.1,0.2\n0.3,0.4\n")).tolist() == [[0.1, 0.2], [0.3, 0.4]]
    with pytest.raises(SpotError, match="file, line 2: 1 times, but line 1 has 2"):
        read_seconds(run_file("0.1,0.2\n0.3\n"))


def test_speed_is_the_mean_of_single_frames(run_file):
    assert frames_per_second([run_file("0.1\n0.2\n0\n")]) == 7.5
    assert frames_per_second([run_file("0\n0\n")]) is None
    assert frames_per_second([]) is None


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SpotError, match=f"{tmp_path}: cannot be read"):
        read_boxes(tmp_path)
