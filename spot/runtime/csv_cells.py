"""Text in CSV files: a spreadsheet would run a cell that begins with = + - or @ as a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def csv_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    >>> csv_cell("=1+1"), csv_cell("car-1"), csv_cell("'=1")
    ("'=1+1", 'car-1', "''=1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def cell_text(cell: str) -> str:
    """Take away what `csv_cell` has put before a text.

    >>> cell_text("'=1+1"), cell_text("'a'"), cell_text("-1")
    ('=1+1', "'a'", '-1')
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
