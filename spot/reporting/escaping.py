"""Names in tables and plots: every format shows them as they are, whatever characters they hold."""

from __future__ import annotations

import re

_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # after the end of a row, [ would begin an optional argument
    "]": "{]}",
    **{c: f"\\{c}" for c in "_&%#${}"},
}


def latex(text: str) -> str:
    """Escape text for LaTeX.

    Example:
        >>> latex("a_b [50%]")
        'a\\\\_b {[}50\\\\%{]}'
    """
    return "".join(_LATEX.get(c, c) for c in one_line(text))


def markdown(text: str) -> str:
    """Escape text for a cell of a Markdown table; an underscore inside a word needs nothing."""
    text = re.sub(r"([\\`*{}\[\]|~#$^])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", one_line(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plot_text(text: str) -> str:
    """Escape text for Matplotlib, in which a dollar sign begins a formula."""
    return one_line(text).replace("$", r"\$")


def one_line(text: str) -> str:
    """Replace line breaks and other control characters by blanks."""
    return "".join(c if c.isprintable() else " " for c in text)
