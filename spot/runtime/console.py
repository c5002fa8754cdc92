"""Other ways to call the commands: `spot train ...` in a shell, `spot.train(...)` in Python."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import re
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import open_dict

from spot.runtime.checking import check_configuration
from spot.runtime.command_line import prepare
from spot.runtime.composing import composed
from spot.runtime.errors import SpotError
from spot.runtime.value_types import yaml_word

_WORDS = ("null", "true", "false", "nan", "inf")  # not texts in Hydra's syntax
PACKAGE = Path(__file__).resolve().parents[1]


def command_names() -> list[str]:
    """Return the names of all commands: the modules directly below the package."""
    return sorted(file.stem for file in PACKAGE.glob("*.py") if not file.stem.startswith("_"))


def main() -> NoReturn:
    """Run `spot NAME ...` as `python -m spot.NAME ...`."""
    name, *words = sys.argv[1:] or ["--help"]
    names = command_names()
    if name in ("-h", "--help"):
        print("usage: spot COMMAND key=value ...     (spot COMMAND --help says more)\n")
        for each in names:
            text = ast.get_docstring(ast.parse((PACKAGE / f"{each}.py").read_text(encoding="utf-8"))) or ""
            print(f"  {each:10s}{text.splitlines()[0].partition(': ')[2]}")
        raise SystemExit(0)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from: {', '.join(names)}"
        print(f"error: no command {name}; {hint}", file=sys.stderr)
        raise SystemExit(1)
    os.execv(sys.executable, [sys.executable, "-m", f"spot.{name}", *words])


def make_callable(module: str, config: str) -> None:
    """Let the module of a command be called as a function: `spot.annotate(run="mine")`."""

    class Command(types.ModuleType):
        def __call__(self, *words: str, **options: Any) -> Any:
            return run_command(self, config, words, options)

    if module != "__main__":
        sys.modules[module].__class__ = Command


def run_command(module: types.ModuleType, config: str, words: tuple[str, ...], options: dict[str, Any]) -> Any:
    """Run a command in this process.

    Args:
        module: name of the module. It has a function of the command's name, which takes the configuration.
        config: name of the configuration.
        words: options as in a shell: `"paths.videos=/clips"`.
        options: the same as keyword arguments: `run="mine", box=[1, 2, 3, 4]`.

    Returns:
        What the command's function returns.

    Raises:
        SpotError: an error that the user can correct.
    """
    given = prepare(config, [*words, *(f"{key}={as_option(value)}" for key, value in options.items())])
    cfg = composed(config, given, with_hydra=True)
    HydraConfig.instance().set_config(cfg)  # commands ask it for the options that were given
    with open_dict(cfg):
        del cfg["hydra"]
    check_configuration(config, cfg)
    try:
        return getattr(module, module.__name__.rpartition(".")[2])(cfg)
    except InstantiationException as error:  # wraps what a constructor raises
        if isinstance(error.__cause__, SpotError):
            raise error.__cause__ from None
        raise


def as_option(value: Any) -> str:
    """Return a Python value as Hydra writes it on the command line.

    >>> as_option([1, "a b", None, True])
    "[1,'a b',null,true]"
    """
    if value is None or isinstance(value, bool):
        return yaml_word(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_option, value))}]"
    text = str(value)
    if re.fullmatch(r"[A-Za-z_/][\w./-]*", text, re.ASCII) and text.lower() not in _WORDS:
        return text
    # in Hydra's syntax a backslash is an escape only before a quote
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def lazy_attribute(name: str) -> Any:
    """Return `spot.NAME`: `load`, or the module of a command. Raise AttributeError for other names."""
    if name == "load":
        return importlib.import_module("spot.tracking.video_tracker").load
    if not name.startswith("_") and (PACKAGE / f"{name}.py").is_file():
        return importlib.import_module(f"spot.{name}")
    raise AttributeError(f"module 'spot' has no attribute '{name}'")
