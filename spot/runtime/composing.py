"""Where the configuration files are, what Hydra composes from them, and which options this command was given."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from spot.runtime.cpu import default_workers


def config_folder() -> Path:
    """Return the `conf` folder: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parents[1]
    beside = package.parent / "conf"
    return beside if (beside / "train.yaml").is_file() else package / "conf"


def composed(command: str, options: Sequence[str] = (), with_hydra: bool = False) -> DictConfig:
    """Return the configuration of a command with `key=value` options; with the group `hydra` too if asked."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(command, list(options), return_hydra_config=with_hydra)


def given_options() -> list[str]:
    """Return the `key=value` options that the user gave to this command."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _choices(*groups: str) -> str:
    """The choices of each group, for the help pages: those of `conf/` and of folders that the user names."""
    loader = GlobalHydra.instance().config_loader()
    lines = (f"{group}: {', '.join(loader.get_group_options(group))}" for group in groups)
    return "\n".join(textwrap.fill(line, 100, subsequent_indent="    ", break_on_hyphens=False) for line in lines)


def _wandb_mode() -> str:
    return os.environ.get("WANDB_MODE") or ("online" if "WANDB_API_KEY" in os.environ else "offline")


# what `${choices:...}`, `${auto_workers:}` and `${wandb_mode:}` stand for in conf/
OmegaConf.register_new_resolver("choices", _choices, replace=True)
OmegaConf.register_new_resolver("auto_workers", default_workers, replace=True)
OmegaConf.register_new_resolver("wandb_mode", _wandb_mode, replace=True)
