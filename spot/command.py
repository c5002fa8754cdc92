"""What all commands share: compose the configuration, run, and end with one clear line on a user's mistake."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spot.errors import SpotError

OmegaConf.register_new_resolver("auto_workers", lambda: min(8, max(1, (os.cpu_count() or 2) - 1)), replace=True)
OmegaConf.register_new_resolver("wandb_offline", lambda: "WANDB_API_KEY" not in os.environ, replace=True)

Main = Callable[[DictConfig], object]


def config_folder() -> Path:
    """The `conf` folder: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "conf"
    return beside if (beside / "train.yaml").is_file() else package / "conf"


def command(config: str) -> Callable[[Main], Callable[[], None]]:
    """Turn `main(cfg)` into a command that reads `conf/<config>.yaml` and `key=value` options.

    Exit status: 0 done; 1 a `SpotError` or an unusable option, told in one line on stderr; 130 interrupted.
    """

    def decorate(main: Main) -> Callable[[], None]:
        def job(cfg: DictConfig) -> object:
            try:
                return main(cfg)
            except (SpotError, InstantiationException) as raised:
                # what a configured target says arrives wrapped
                error = raised.__cause__ if isinstance(raised, InstantiationException) else raised
                if not isinstance(error, SpotError) or HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise  # the other jobs of the sweep go on
                _stop(str(error))

        run = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config)(job)

        def entry() -> None:
            # Hydra would print its own several lines and hide the exception; ours is caught below.
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")
            try:
                run()
            except SpotError as error:
                _stop(str(error))
            except (HydraException, OmegaConfBaseException) as error:
                _stop(_explain(error, config))
            except KeyboardInterrupt:
                print("stopped; the same command continues", file=sys.stderr)
                raise SystemExit(130) from None

        return entry

    return decorate


def _stop(text: str) -> NoReturn:
    # an error out of a loader process arrives with that process's traceback; the last line is what was said
    print(f"error: {text.strip().splitlines()[-1].removeprefix('spot.errors.SpotError: ')}", file=sys.stderr)
    raise SystemExit(1) from None


def _explain(error: Exception, config: str) -> str:
    """One line for what Hydra and OmegaConf say in several: the key at fault and what would be right."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    text = " ".join(str(c) for c in reversed(causes))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if unknown := re.search(r"Could not override '([^']+)'", text):
        key = unknown[1]
        close = difflib.get_close_matches(key, _known_keys(config), n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else "see --help for the options"
        return f"unknown option {key}; {hint}"
    if missing := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = missing[1].rpartition("/")
        options = sorted(p.stem for p in (config_folder() / group).glob("*.yaml")) if group else []
        return f"{group}={choice} does not exist" + (f"; choose from: {', '.join(options)}" if options else "")
    if unset := re.search(r"Environment variable '([^']+)' not found", text):
        inside = "; start inside a job of SLURM, by srun" if unset[1].startswith("SLURM_") else ""
        return f"the environment variable {unset[1]} is not set{inside}"
    return " ".join(lines) or type(error).__name__


def _known_keys(config: str) -> list[str]:
    """Dotted names of all options of a command, for suggestions."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        tree = OmegaConf.to_container(compose(config), resolve=False)

    def names(node: object, prefix: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        return [f"{prefix}{k}" for k in node] + [n for k, v in node.items() for n in names(v, f"{prefix}{k}.")]

    groups = [p.name for p in config_folder().iterdir() if p.is_dir()]
    return names(tree, "") + groups
