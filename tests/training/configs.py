"""Compose a command's configuration in a test."""

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from spot.runtime.command import config_folder


def composed(config: str, *options: str) -> DictConfig:
    """What `python -m spot.<config> <options>` would run with."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(config, list(options))
