"""HTML pages: the report of an evaluation and the review page of dense boxes have one style sheet, `page.css`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def page_templates(package: str, folder: str = "") -> Environment:
    """Return the templates in a package's folder. They take the shared style sheet by `{% include "page.css" %}`.

    Values are escaped, and a value that is missing is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package, folder), PackageLoader("spot.runtime", "")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
