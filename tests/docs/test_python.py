"""Python in README and docs: every block parses, calls of commands have options that exist, one block runs as it stands."""

import ast
import re

import pytest
from hydra import compose, initialize_config_dir

from spot.runtime.composing import config_folder
from spot.runtime.console import as_option, command_names
from tests.docs.pages import PAGES

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(spot\.\w+\([^`]*\))`")
BLOCKS = [
    pytest.param(text, id=f"{page.name} {i}")
    for page in PAGES
    for i, text in enumerate([*BLOCK.findall(page.read_text()), *INLINE.findall(page.read_text())])
]


def calls(text: str) -> list[tuple[str, list[str]]]:
    """Command and options of each `spot.NAME("key=value", key=value)`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="spot"), attr=name)) if name in command_names():
                words = [ast.literal_eval(each) for each in node.args]
                pairs = [f"{key.arg}={as_option(ast.literal_eval(key.value))}" for key in node.keywords]
                found.append((name, words + pairs))
    return found


@pytest.mark.parametrize("text", BLOCKS)
def test_block_parses_and_its_options_exist(text):
    for name, options in calls(text.replace("(...)", "()")):
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            compose(name, options)


def test_a_wrong_option_is_found():
    ((name, options),) = calls('spot.annotate(run="mine", no_such_option=[1, 2])')
    with (
        initialize_config_dir(str(config_folder()), version_base="1.3"),
        pytest.raises(Exception, match="no_such_option"),
    ):
        compose(name, options)


def test_the_example_of_the_library_page_runs():
    (page,) = (page for page in PAGES if page.name == "library.md")
    (text,) = (text for text in BLOCK.findall(page.read_text()) if "import numpy" in text)
    exec(compile(text, str(page), "exec"), {})
