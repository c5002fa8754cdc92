"""The shell blocks of README and docs, and which of them are run as they stand."""

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(
    r"^(?P<mark><!-- run -->\n+)?```(?:sh|bash|shell|console)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        place: `README.md:12`, for messages.
        text: the commands.
        is_run: `<!-- run -->` stands before it, so that tests run it as it stands.
    """

    place: str
    text: str
    is_run: bool

    def commands(self) -> list[list[str]]:
        """Each command as its words; continued lines joined, comments and prompts gone."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
        return [each for each in words if each]


def blocks() -> list[Block]:
    """All shell blocks, in order."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _BLOCK.finditer(text):
            place = f"{page.relative_to(ROOT)}:{text[: match.start('text')].count(chr(10)) + 1}"
            found.append(Block(place, match["text"], match["mark"] is not None))
    return found


def run_blocks(page: Path) -> list[str]:
    """Texts of the blocks of one page that are run as they stand."""
    return [block.text for block in blocks() if block.is_run and block.place.startswith(f"{page.relative_to(ROOT)}:")]


def jobs(options: list[str]) -> list[list[str]]:
    """The options of each job of a sweep: `labels=2,3` gives two, brackets stay whole."""
    choices = []
    for option in options:
        key, equals, value = option.partition("=")
        parts = re.split(r",(?![^\[{(]*[\]})])", value) if equals else [""]
        choices.append([f"{key}{equals}{part}" for part in parts])
    return [list(each) for each in itertools.product(*choices)]
