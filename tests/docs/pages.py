"""The commands of README, docs and help texts, and which of them are run as they stand."""

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HELP = sorted((ROOT / "conf/hydra/help").glob("*.yaml"))
_BLOCK = re.compile(
    r"^(?P<mark><!-- run -->\n+)?```(?:sh|bash|shell|console)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"`(python -m spot\.[^`]+)`")
_EXAMPLE = re.compile(r"^ +(python -m spot\.\w+ (?!\.\.\.|key=value).*?)(?: {2}.*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block, or one command within a line.

    Attributes:
        place: `README.md:12`, for messages.
        text: the commands.
        is_run: `<!-- run -->` stands before it, so that tests run it as it stands.
    """

    place: str
    text: str
    is_run: bool = False

    def commands(self) -> list[list[str]]:
        """Each command as its words; continued lines joined, comments and prompts gone."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
        return [each for each in words if each]


def blocks() -> list[Block]:
    """All shell blocks of the pages, in order."""
    return [Block(_place(page, m), m["text"], m["mark"] is not None) for page in PAGES for m in _find(_BLOCK, page)]


def asides() -> list[Block]:
    """Commands of ours in the text of the pages and in the examples of `--help`."""
    return [Block(_place(page, m), m[1]) for page in PAGES for m in _find(_INLINE, page)] + [
        Block(_place(page, m), m[1]) for page in HELP for m in _find(_EXAMPLE, page)
    ]


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


def _find(pattern: re.Pattern, page: Path) -> list[re.Match]:
    return list(pattern.finditer(page.read_text()))


def _place(page: Path, match: re.Match) -> str:
    return f"{page.relative_to(ROOT)}:{match.string[: match.start()].count(chr(10)) + 1}"
