"""Prepare a command line for Hydra: replace old names, quote names that look like numbers, refuse Hydra's own options."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from spot.runtime.checking import kind_of
from spot.runtime.errors import SpotError
from spot.runtime.renamed_options import with_new_names
from spot.runtime.schema import SCHEMAS
from spot.runtime.value_types import takes

SWEEP_FLAGS = ("-m", "--multirun")
_REFUSED = {
    "hydra.mode": "give -m to run several jobs",
    "hydra.run.dir": "outputs go to paths.outputs and run=",
    "hydra.sweep.dir": "a sweep goes to paths.outputs and sweep=",
    "hydra.sweeper.params": "sweep by -m and values such as labels=2,3, or in a file of conf/experiment",
    "hydra.job.chdir": "commands stay in the current folder",
    "trainer.max_epochs": "set training.epochs",
    "trainer.max_steps": "set training.epochs and training.steps",
    "trainer.callbacks": "add callbacks by a file in conf/",
    "trainer.logger": "choose by logger=",
    "trainer.default_root_dir": "outputs go to paths.outputs and run=",
}
_PLAIN = re.compile(r"[^'\"\\{}\[\](),$]+")
"""A value, or an element of a list, without quotes and without Hydra's own syntax."""


def prepare(command: str, words: Sequence[str]) -> list[str]:
    """Return the words for Hydra: old names replaced, names quoted. Refuse options that have another name here.

    >>> prepare("train", ["run=1e5", "labels=3", "-m"])
    ["run='1e5'", 'labels=3', '-m']
    >>> prepare("test", ["videos=[1,2]", "videos=3"])
    ["videos=['1','2']", 'videos=3']

    Raises:
        SpotError: an option that has another name here, such as `trainer.max_epochs`.
    """
    schema = SCHEMAS.get(command)
    prepared = []
    for word in with_new_names(words):
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if equals and not word.startswith("--"):
            by_lightning = name == "hydra.run.dir" and "LOCAL_RANK" in os.environ  # which starts the other processes so
            refused = next((each for each in _REFUSED if name == each or name.startswith(f"{each}.")), None)
            if refused and not by_lightning:
                raise SpotError(f"{name}={value}: {_REFUSED[refused]}")
            if schema and (kind := kind_of(name, schema)) is not None:
                word = f"{key}={quote_names(value, kind)}"
        prepared.append(word)
    return prepared


def quote_names(value: str, kind: Any) -> str:
    """Quote texts that Hydra would read as numbers or booleans. `null` stays."""
    if value.startswith("[") and value.endswith("]"):
        if not takes(kind, str, inside_list=True):
            return value
        inner = value[1:-1]
        return f"[{_quote_each(inner)}]" if inner else value
    in_a_list = takes(kind, str, inside_list=True)
    if takes(kind, int) or takes(kind, bool) or not (takes(kind, str) or in_a_list):
        return value
    return _quote_each(value)


def as_typed(option: str) -> str:
    """Return an option without the quotes that `prepare` adds.

    >>> as_typed("run='1e5'"), as_typed("videos=['1','2']"), as_typed("labels=3")
    ('run=1e5', 'videos=[1,2]', 'labels=3')
    """
    return re.sub(f"'({_PLAIN.pattern})'", r"\1", option)


def options_of(words: Sequence[str]) -> list[str]:
    """Return the `key=value` and `~key` options among the words of a command line."""
    return [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]


def _quote_each(text: str) -> str:
    parts = text.split(",")
    if text in ("", "null") or not all(_PLAIN.fullmatch(part) for part in parts):
        return text
    return ",".join(f"'{part}'" for part in parts)
