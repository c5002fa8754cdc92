"""The dependencies between packages point one way, and a file's name says what it is for (docs/design.md)."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from hydra.utils import get_object

from tests.paths import ROOT

LAYERS = [
    {"commands"},
    {"training", "tracking", "annotation", "reporting"},
    {"supervision", "evaluation", "results"},
    {"data", "state", "architectures"},
    {"runtime"},
]
ALONE = {"architectures", "state", "evaluation"}  # import no package but runtime
COMMANDS = {"train", "sample", "label", "annotate", "track", "test", "evaluate", "onekey", "convert", "check"}
FAMILIES = {"__init__", "network", "loss", "tracker", "published", "base"}


def package(module: str) -> str:
    """The package of `spot.x.y`; commands are the modules directly under spot."""
    parts = module.split(".")
    return "commands" if len(parts) < 2 or parts[1] in COMMANDS | {"__init__"} else parts[1]


@cache
def imports(file: Path) -> set[str]:
    """Modules that a file imports, at its top and inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def graph(folder: Path, prefix: str = "") -> dict[str, set[str]]:
    """Module -> modules of the same folder that it imports; `prefix` is the folder's own package name."""
    files = {
        prefix + ".".join(f.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): f
        for f in folder.rglob("*.py")
    }
    return {name: (imports(file) & files.keys()) - {name} for name, file in files.items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Every circle that a depth-first walk meets."""
    found, done = [], set()

    def walk(node: str, path: list[str]) -> None:
        if node in path:
            found.append([*path[path.index(node) :], node])
        elif node not in done:
            for other in sorted(edges.get(node, ())):
                walk(other, [*path, node])
            done.add(node)

    for node in sorted(edges):
        walk(node, [])
    return found


def test_dependencies_point_down():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    wrong = defaultdict(set)
    for module, others in graph(ROOT / "spot", "spot.").items():
        here = package(module)
        for there in {package(other) for other in others if other != "spot"} - {here}:
            alone = here in ALONE and there != "runtime"
            if level[there] < level[here] or alone:
                wrong[module].add(there)
    assert not wrong


def test_packages_do_not_import_each_other_in_a_circle():
    edges: dict[str, set[str]] = defaultdict(set)
    for module, others in graph(ROOT / "spot", "spot.").items():
        here = package(module)
        edges[here] |= {package(o) for o in others if o != "spot"} - {here}
    assert not circles(edges)


def test_files_do_not_import_each_other_in_a_circle():
    assert not circles(graph(ROOT / "spot", "spot."))
    for folder in {
        file.parent for file in (ROOT / "scripts").rglob("*.py")
    }:  # scripts import by name, from their folder
        assert not circles({name: {o for o in others if "." not in o} for name, others in graph(folder).items()})


def test_the_top_level_holds_commands_only():
    assert {file.stem for file in (ROOT / "spot").glob("*.py")} <= COMMANDS | {"__init__"}


def test_no_two_files_have_one_name():
    names = defaultdict(list)
    for file in (ROOT / "spot").rglob("*.py"):
        if file.stem not in FAMILIES:
            names[file.stem].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in names.items() if len(files) > 1} == {}


def test_every_target_of_the_configuration_can_be_imported():
    targets = {t for f in (ROOT / "conf").rglob("*.yaml") for t in re.findall(r"_target_:\s*([\w.]+)", f.read_text())}
    assert len(targets) > 50
    for target in sorted(targets):
        assert callable(get_object(target)), target
