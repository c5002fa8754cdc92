"""The site builds without a warning: no broken link, anchor or page outside the navigation."""

import logging
from pathlib import Path

import pytest

from tests.paths import ROOT


def build(site: Path) -> list[str]:
    """Build the site as `make docs` does; returns the warnings."""
    commands = pytest.importorskip("mkdocs.commands.build", reason="mkdocs is not installed: pip install -e '.[docs]'")
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install -e '.[docs]'")
    from mkdocs.config import load_config

    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(listener)
    try:
        commands.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site), strict=False))
    finally:
        logging.getLogger("mkdocs").removeHandler(listener)
    return said


def test_the_site_builds_without_a_warning(tmp_path):
    warnings = build(tmp_path)
    assert warnings == []
    assert len(list(tmp_path.glob("*.html"))) > len(list((ROOT / "docs").glob("*.md")))  # the changelog is a page, too
    for page in tmp_path.glob("*.html"):  # a table that is cut leaves its rows as text
        assert "<p>|" not in page.read_text(), page.name
