"""Compose a command's configuration in a test."""

import copy
import functools

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from spot.architectures.start_weights import load_initial
from spot.runtime.composing import config_folder
from spot.training.module import SparseTracker


def composed(config: str, *options: str) -> DictConfig:
    """What `python -m spot.<config> <options>` would run with."""
    return copy.deepcopy(_composed(config, options))


@functools.cache
def _composed(config: str, options: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(config, list(options))


def built(cfg: DictConfig) -> SparseTracker:
    """The module that `spot.train` makes of a configuration."""
    network = instantiate(cfg.arch.network)
    load_initial(network, cfg.initial, cfg.arch.name)
    return instantiate(cfg.module)(network=network)
