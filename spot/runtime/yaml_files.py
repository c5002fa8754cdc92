"""Read YAML files that others may have written, such as the config.yaml of a run folder."""

from __future__ import annotations

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spot.runtime.errors import SpotError
from spot.runtime.renamed_options import new_settings

DEEPEST = 100
LARGEST = 2_000_000  # bytes; a run's config.yaml has a few thousand


def read_yaml(file: Path) -> DictConfig:
    """Read a YAML mapping; options and classes of version 0.1 get their present names.

    Aliases are refused: a few nested ones can expand to more than fits in memory.

    Raises:
        SpotError: the file cannot be read, is not a mapping, is too large or nested too deeply, or has aliases.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise SpotError(f"{file}: too large for a configuration; choose another file")
        text = file.read_text()
        refuse_bombs(text, file)
        content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
        if not isinstance(content, dict):
            raise SpotError(f"{file}: damaged (not a mapping); restore it, or choose another run=")
        return OmegaConf.create(new_settings(content))  # type: ignore[arg-type]
    except OSError as error:
        raise SpotError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or ["nested too deeply"])[0]
        raise SpotError(f"{file}: damaged ({reason}); restore it, or choose another run=") from None


def refuse_bombs(text: str, source: str | Path) -> None:
    """Refuse YAML that costs more than it looks: aliases fill the memory, deep nesting takes the parser hours.

    Raises:
        SpotError: names the source.
        yaml.YAMLError: the text is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise SpotError(f"{source}: holds YAML aliases (*name), which no run writes; take another file")
        if depth > DEEPEST:
            raise SpotError(f"{source}: damaged (nested too deeply); restore it, or take another file")
