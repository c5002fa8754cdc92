"""Each message that troubleshooting.md explains is one that the code can say."""

import ast
import re

import pytest

from tests.paths import ROOT

FROM_HYDRA = {"Ambiguous value for argument"}
TABLES = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)


def said() -> list[str]:
    """All texts of the code, `...` where a value is put in."""
    texts = []
    for file in sorted([*(ROOT / "spot").rglob("*.py"), *(ROOT / "hydra_plugins").glob("*.py")]):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                texts.append("".join(text for side in (node.left, node.right) for text in _texts(side)))
    return texts


def _texts(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


SAID = [text for text in said() if "\n" not in text]  # without docstrings


@pytest.mark.parametrize("message", TABLES)
def test_message_is_said_by_the_code(message):
    if message in FROM_HYDRA:
        return
    parts = [re.escape(part) for part in message.split("...") if part.strip(" ;:,()")]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    assert any(pattern.search(text) for text in SAID), f"nothing says {message}"


def test_messages_are_found_at_all():
    assert len(TABLES) > 40
