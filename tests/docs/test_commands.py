"""No command of README and docs can rot: it is run as it stands, or its options are composed as the command would."""

import functools
import re
import shlex
import subprocess

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict

from spot.runtime.composing import config_folder
from tests.docs.pages import PAGES, asides, blocks, jobs
from tests.paths import ROOT

CONFIGS = {file.stem for file in config_folder().glob("*.yaml")}
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
OUTSIDE = {
    "cd",
    "export",
    "source",
    "pip",
    "python3.11",
    "git",
    "pre-commit",
    "tensorboard",
    "wandb",
    "ls",
    "mkdir",
    "nvidia-smi",
}
"""What is not ours: other people's programs and the shell's own words."""

COMMANDS = [
    pytest.param(command, id=f"{block.place} {' '.join(command)[:60]}")
    for block in [*blocks(), *asides()]
    for command in block.commands()
]


@pytest.fixture(scope="module")
def composer():
    """Composes one configuration after another; examples' folders come last, as `--config-dir` does."""

    @functools.cache
    def composed(name: str, options: tuple[str, ...], more: str | None):
        GlobalHydra.instance().clear()
        if more is not None:
            options = (*options, f"hydra.searchpath=[file://{more}]")
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose(name, list(options))

    yield composed
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_right(command, composer):
    words = [word for word in command if not re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", word)]  # VARIABLE=value before it
    if not words or words[0] in OUTSIDE:
        return
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS
    elif words[:2] == ["python", "-m"]:
        assert words[2].startswith("spot."), f"{words[2]} is not a command of the project"
        _compose(words[2].removeprefix("spot."), words[3:], composer)
    elif words[0] == "python":
        text = (_script(words[1])).read_text()
        for flag in (word for word in words[2:] if word.startswith("--")):
            assert f'"{flag}"' in text, f"{words[1]} has no {flag}"
    else:
        pytest.fail(f"nothing checks {shlex.join(words)}")


def _compose(name: str, words: list[str], composer) -> None:
    assert name in CONFIGS, f"there is no command spot.{name}"
    options, more = [], None
    rest = iter(words)
    for word in rest:
        if word in ("--config-dir", "-cd"):
            more = str(ROOT / "docs/examples" / next(rest))
        elif word == "--cfg":
            next(rest)
        elif word.startswith("hydra.searchpath="):
            more = str(ROOT / "docs/examples/conf")  # whatever folder the page takes for it
        elif not word.startswith("hydra/launcher=") and word not in ("-m", "--multirun", "--resolve", "--help"):
            assert "=" in word, f"{word} is no option"
            options += [] if word == "benchmark=NAME" else [word]
    swept = {"-m", "--multirun"} & set(words)
    for job in jobs(options) if swept else [options]:
        composed = composer(name, tuple(job), more)
        if "recipe" in composed.get("arch", {}) and "training" not in composed:
            with open_dict(composed.arch):  # refers to settings of training, which this command has not
                del composed.arch.recipe
        OmegaConf.to_container(composed, resolve=True)


KEYED = re.compile(r"`\+?([a-z_]+(?:\.[a-z_]+)*)=[^`]*`")


def test_options_in_the_text_exist(composer):
    """`key=value` and `key=` within lines: of some command, with some choice of its groups."""
    trees = [
        composer("train", ("arch=ocean", "data=lasot", "logger=wandb"), None),
        composer("train", ("arch=ostrack",), None),
        composer("onekey", ("benchmark=lasot",), None),
        *(
            composer(name, (), None)
            for name in ("convert", "test", "evaluate", "sample", "label", "annotate", "track", "check")
        ),
    ]
    known = {key for tree in trees for key in _keys(OmegaConf.to_container(tree), "")}
    known |= {file.name for file in config_folder().iterdir() if file.is_dir()} | {"hydra.searchpath", "key"}
    known |= {"trainer.benchmark"}  # Lightning's own, hence the + before it
    messages = re.compile(r"^\| `[^`]+` \|", re.MULTILINE)  # the first column of troubleshooting.md
    for page in PAGES:
        text = messages.sub("", page.read_text()) if page.name == "troubleshooting.md" else page.read_text()
        assert set(KEYED.findall(text)) <= known, page.name


def _keys(node: object, prefix: str) -> set[str]:
    if not isinstance(node, dict):
        return set()
    return {f"{prefix}{key}" for key in node}.union(*(_keys(v, f"{prefix}{k}.") for k, v in node.items()))


def test_settings_of_the_migration_table_exist(composer):
    """The right column of its last table: whole keys, or the last part of one after a whole key."""
    table = (ROOT / "docs/migration.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    tree = OmegaConf.to_container(composer("train", (), None))
    keys = _keys(tree, "")
    leaves = {key.rpartition(".")[2] for key in keys}
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| `")]
    named = [span.partition("=")[0] for row in rows for span in re.findall(r"`([^`]+)`", row)]
    assert len(named) > 40
    choices = {file.stem for group in ("optimizer", "scheduler") for file in (config_folder() / group).iterdir()}
    assert [name for name in named if name not in keys | leaves | choices | {"data.*.split"}] == []


def _script(name: str):
    places = [ROOT / name, ROOT / "docs/examples" / name]
    found = [place for place in places if place.is_file()]
    assert found, f"there is no {name}"
    return found[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]
    for link in links:
        file, _, heading = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), f"{link} leads nowhere"
        if heading and target.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{link}: no such heading"


def test_make_help_names_every_target():
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert {line.split()[0] for line in said.splitlines()} == set(phony) == TARGETS
