"""The record of a run in its config.yaml: all settings, and the options that the user gave.

`python -m spot.train run=NAME` alone continues a run with the options that it recorded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from spot.runtime.atomic_files import replacing
from spot.runtime.checking import fields_of, is_free
from spot.runtime.command_line import SWEEP_FLAGS, options_of
from spot.runtime.composing import composed, config_folder
from spot.runtime.errors import SpotError
from spot.runtime.schema import Onekey, Train
from spot.runtime.sweeps import MAKES_RUNS
from spot.runtime.trusted_targets import refuse_foreign_targets
from spot.runtime.yaml_files import read_yaml

CONFIG_FILE = "config.yaml"
RECORD = "record"  # the key in config.yaml beside the settings


@dataclass(frozen=True)
class RunRecord:
    """The content of a run's config.yaml.

    Attributes:
        settings: the whole configuration, without references.
        options: the `key=value` options of its command; None in a run of version 0.1, which did not record them.
        flags: further words of its command, such as `--config-dir=...`.
        processes: how many processes trained together; None if unknown.
    """

    settings: DictConfig
    options: list[str] | None = None
    flags: tuple[str, ...] = ()
    processes: int | None = None


def read_record(folder: Path) -> RunRecord | None:
    """Read the record of a run; return None if the folder has none.

    Raises:
        SpotError: config.yaml is damaged.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        return None
    settings = read_yaml(file)
    record: Any = settings.pop(RECORD, None)
    if not isinstance(record, DictConfig):
        return RunRecord(settings)
    return RunRecord(settings, list(record.get("options", [])), tuple(record.get("flags", ())), record.get("processes"))


def write_record(folder: Path, cfg: DictConfig, options: Sequence[str], flags: Sequence[str], processes: int) -> None:
    """Write a run's config.yaml atomically."""
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    content[RECORD] = {"options": list(options), "flags": list(flags), "processes": processes}
    with replacing(folder / CONFIG_FILE) as aside:
        OmegaConf.save(OmegaConf.create(content), aside)


def with_recorded_options(command: str, words: list[str]) -> list[str]:
    """Add the options that a run recorded before the given ones, if the command line chooses no arch, data, ....

    Args:
        command: train or onekey; for other commands the words are returned unchanged.
        words: words of the command line.
    """
    given = {_key(word): word for word in options_of(words)}
    asks_for_help = any(word.startswith(("--help", "-h", "--hydra-help", "--version")) for word in words)
    if command not in MAKES_RUNS or "run" not in given or set(SWEEP_FLAGS) & set(words) or asks_for_help:
        return words
    if any("@" in key or _is_recipe(key) for key in given):
        return words  # the whole command again
    named = composed(command, [word for key, word in given.items() if key == "run" or key.startswith("paths.")])
    folder = Path(named.paths.outputs) / named.run
    record = read_record(folder)
    if record is None or not record.options:
        return words
    foreign = fields_of(Onekey).keys() - fields_of(Train).keys() if command == "train" else set()
    kept = [o for o in record.options if _key(o) not in given and re.split(r"[.@/]", _key(o))[0] not in foreign]
    flags = [flag for flag in record.flags if not any(word.startswith(("--config-dir", "-cd")) for word in words)]
    _check_recorded(command, [*kept, *given.values()], kept, flags, folder)
    return [*kept, *words, *flags]


def _check_recorded(command: str, options: list[str], recorded: list[str], flags: list[str], folder: Path) -> None:
    """Refuse recorded options that could run a program: the folder may come from somebody else."""
    file = folder / CONFIG_FILE
    own = [Path(flag.partition("=")[2]) for flag in flags]
    for word, bad in [(o, re.match(r"[+~]*hydra\b", o)) for o in recorded] + [
        (flag, not flag.startswith("--config-dir=") or place.resolve().is_relative_to(folder.resolve()))
        for flag, place in zip(flags, own, strict=True)
    ]:
        if bad:
            raise SpotError(f"{file} records {word}, which could run any program; give the whole command again")
    path = f"[{','.join(f'file://{place.resolve()}' for place in own)}]"
    cfg = composed(command, [*options, f"hydra.searchpath={path}"])
    refuse_foreign_targets(cfg, None, file, "the recorded options", [config_folder(), *own])


def _key(option: str) -> str:
    return option.partition("=")[0].lstrip("+~")


def _is_recipe(key: str) -> bool:
    """Return whether a key chooses what a run learns (arch, data, experiment), not where or how it runs."""
    return (config_folder() / key).is_dir() and key != "trainer" and not is_free(key, Onekey)
