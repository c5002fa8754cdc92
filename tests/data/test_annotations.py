"""Annotation parsers: every separator, line end and defect of real files, and whatever hypothesis thinks of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spot.data.annotations import attributes_in, drawable, fit_rows, parse_flags, parse_table
from spot.runtime.errors import SpotError

EXPECTED = [[1, 2, 3, 4], [5.5, -6, 7, 8e2]]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"1,2,3,4\n5.5,-6,7,8e2\n", "the usual form"),
        (b"1,2,3,4\n5.5,-6,7,8e2", "no line end at the end"),
        (b"1\t2\t3\t4\r\n5.5\t-6\t7\t8e2\r\n", "tabs and Windows line ends (OTB)"),
        (b"1 2  3 4\r5.5 -6 7 8e2\r", "spaces and old Macintosh line ends"),
        (b"1;2;3;4\n5.5;-6;7;8e2\n", "semicolons"),
        (b"1,2,3,4,\n5.5,-6,7,8e2,\n", "a separator at the end of lines"),
        (b"\xef\xbb\xbf1,2,3,4\n5.5,-6,7,8e2\n", "a byte order mark"),
        (b"\n1,2,3,4\n\n5.5,-6,7,8e2\n \n\t\n\n", "blank lines"),
        (b"  1 , 2,\t3 ,4\n5.5 ,-6, 7,8e2", "separators mixed"),
    ],
)
def test_table_reads_every_form_in_use(data, why):
    np.testing.assert_array_equal(parse_table(data, "f", 4), EXPECTED, err_msg=why)


def test_nan_stays_and_infinity_becomes_nan():
    rows = parse_table(b"NaN,nan,NAN,-nan\n1,inf,-Infinity,1e999\n", "f", 4)
    np.testing.assert_array_equal(np.isnan(rows), [[True] * 4, [False, True, True, True]])


@pytest.mark.parametrize(
    ("data", "said", "why"),
    [
        (b"", "empty", "an empty file"),
        (b" \n\r\n", "empty", "blank lines alone"),
        (b"1,2,3,4\n\0\0\0\0", "NUL bytes in line 2", "an interrupted copy"),
        (b"1,2,3,4\n1,2,3\n", "line 2 has 3 numbers", "a line cut short"),
        (b"1,2,3,4\n\n1,2,3,4,5\n", "line 3 has 5 numbers", "a number too many, after a blank line"),
        (b"1,2,3,4\r\n1,2,3\r\n", "line 2 has 3 numbers", "Windows line ends are one line end each"),
        (b"1,2,3\n1,2,3,4,5\n", "line 1 has 3 numbers", "the total fits and the lines do not"),
        (b"1,2,3,4\n1,two,3,4\n", "line 2 holds 'two'", "text"),
        (b"1,2,3,4\n1.2.3,2,3,4\n", "line 2 holds '1.2.3'", "not a number"),
        (b"1_0,2,3,4\n", "line 1 holds '1_0'", "what only Python takes for a number"),
        (b"0x10,2,3,4\n", "line 1 holds '0x10'", "hexadecimal"),
        ("\u0661,2,3,4\n".encode(), "line 1 holds", "digits of another script"),
        (b"\x80\x81\xff\n", "line 1 holds", "bytes that are no text"),
        (b"<html>404</html>", "line 1 holds '<html>404</html>'", "a download that failed"),
    ],
)
def test_broken_tables_are_named_with_their_line(data, said, why):
    with pytest.raises(SpotError) as caught:
        parse_table(data, "folder/groundtruth.txt", 4)
    assert said in str(caught.value), why
    assert "folder/groundtruth.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_may_be_told_by_the_first_line():
    assert parse_table(b"1,2\n3,4\n", "f", None).shape == (2, 2)
    with pytest.raises(SpotError, match="line 2 has 1 numbers instead of 2"):
        parse_table(b"1,2\n3\n", "f", None)


def test_flags_lie_in_one_line_or_one_to_a_line():
    np.testing.assert_array_equal(parse_flags(b"0,1,0\n", "f"), [0, 1, 0])
    np.testing.assert_array_equal(parse_flags(b"0\r\n1\r\n0\r\n", "f"), [0, 1, 0])


number = st.one_of(
    st.integers(-5000, 5000).map(str),
    st.floats(-1e4, 1e4, allow_nan=False).map(repr),
    st.floats(-1e4, 1e4, allow_nan=False).map("{:.4f}".format),
    st.just("nan"),
)
gap = st.sampled_from([",", "\t", " ", " , ", ";"])
line_end = st.sampled_from(["\n", "\r\n", "\n\n", " \n"])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(*[number] * 4), min_size=1, max_size=8), gap, line_end, st.booleans())
def test_what_is_written_is_read_to_the_last_bit(rows, between, end, ends_with_line):
    text = end.join(between.join(row) for row in rows) + (end if ends_with_line else "")
    np.testing.assert_array_equal(parse_table(text.encode(), "f", 4), [[float(n) for n in row] for row in rows])


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=60), st.text("0123456789.,-+eE\n\r\t naif\0;", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_named(data):
    """What is accepted must be what Python's own float makes of the words; nothing else than SpotError is raised."""
    try:
        rows = parse_table(data, "some file", 2)
    except SpotError as error:
        assert "some file" in str(error)  # noqa: PT017 - both outcomes are fine
        return
    words = data.removeprefix(b"\xef\xbb\xbf").replace(b",", b" ").replace(b";", b" ").split()
    expected = np.array([float(w) for w in words]).reshape(-1, 2)
    np.testing.assert_array_equal(rows, np.where(np.isfinite(expected), expected, np.nan))


@pytest.mark.parametrize(
    ("box", "is_drawable", "why"),
    [
        ([1, 2, 3, 4], True, "a box"),
        ([-5, -5, 10, 10], True, "partly outside the image"),
        ([1, 2, 0, 4], False, "no width"),
        ([1, 2, 3, -4], False, "negative height"),
        ([0, 0, 0, 0], False, "absent"),
        ([np.nan] * 4, False, "not annotated"),
        ([np.nan, 2, 3, 4], False, "half annotated"),
        ([1, 2, np.inf, 4], False, "infinite"),
    ],
)
def test_drawable_boxes_have_an_area(box, is_drawable, why):
    assert drawable(np.array([box], np.float32)).tolist() == [is_drawable], why


def test_row_counts_must_fit():
    assert len(fit_rows(np.zeros(3), 3, "f")) == 3
    with pytest.raises(SpotError, match="f: 3 rows for 4 frames"):
        fit_rows(np.zeros(3), 4, "f")


def test_attributes_are_the_names_whose_flag_is_set():
    assert attributes_in(b"0,1,1", "f", ("A", "B", "C")) == ("B", "C")
    with pytest.raises(SpotError, match="2 rows for 3 attributes"):
        attributes_in(b"0,1", "f", ("A", "B", "C"))
