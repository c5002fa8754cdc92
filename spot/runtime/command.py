"""What all commands share: compose the configuration, run, and end with one clear line on a user's mistake."""

from __future__ import annotations

import difflib
import errno
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

from spot.runtime import sweeps
from spot.runtime.console import make_callable
from spot.runtime.cpu import default_workers, wait_passively
from spot.runtime.errors import SpotError

OmegaConf.register_new_resolver("auto_workers", default_workers, replace=True)
OmegaConf.register_new_resolver("wandb_mode", lambda: _wandb_mode(), replace=True)

Main = Callable[[DictConfig], object]


def _wandb_mode() -> str:
    return os.environ.get("WANDB_MODE") or ("online" if "WANDB_API_KEY" in os.environ else "offline")


def config_folder() -> Path:
    """The `conf` folder: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parents[1]
    beside = package.parent / "conf"
    return beside if (beside / "train.yaml").is_file() else package / "conf"


def command(config: str) -> Callable[[Main], Callable[[], None]]:
    """Turn `main(cfg)` into a command that reads `conf/<config>.yaml` and `key=value` options.

    Exit status: 0 done; 1 a `SpotError` or an unusable option, told in one line on stderr; 130 interrupted.
    """

    def decorate(main: Main) -> Callable[[], None]:
        make_callable(main.__module__, config, config_folder())

        def job(cfg: DictConfig) -> object:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                _job_of_a_sweep(config)
                return None
            try:
                return main(cfg)
            except (SpotError, InstantiationException) as raised:
                # what a configured target says arrives wrapped
                error = raised.__cause__ if isinstance(raised, InstantiationException) else raised
                if not isinstance(error, SpotError):
                    raise
                _stop(str(error))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                _stop(f"{error.filename or 'output'}: the disk is full; free space, the same command continues")

        run = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config)(job)

        def entry() -> None:
            # Hydra would print its own several lines and hide the exception; ours is caught below.
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")
            wait_passively()
            try:
                if any(flag in sys.argv for flag in sweeps.FLAGS):
                    _sweep(config, run)
                else:
                    run()
                    _disconnect()
            except SpotError as error:
                _stop(str(error))
            except (HydraException, OmegaConfBaseException) as error:
                _stop(_explain(error, config))
            except KeyboardInterrupt:
                print("stopped; the same command continues", file=sys.stderr)
                raise SystemExit(130) from None
            except Exception as error:
                sweeps.note_cause(f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}")
                raise

        return entry

    return decorate


def _disconnect() -> None:
    """Close connections to other processes: their threads would now and then abort an interpreter that shuts down."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _sweep(config: str, run: Callable[[], None]) -> None:
    """All jobs of `-m`, whatever becomes of one of them. Raises SpotError where some are not done."""
    if any(word in ("--help", "-h", "--hydra-help", "--version") for word in sys.argv[1:]):
        return run()
    if any(word in ("-c", "-i") or word.startswith(("--cfg", "--info")) for word in sys.argv[1:]):
        raise SpotError("--cfg and --info show a single job; leave out -m and give every option one value")
    sweep = sweeps.plan(config, sweeps.overrides_of(sys.argv[1:]), config_folder())
    sys.argv[1:] = sweeps.with_sweep(sys.argv[1:], sweep)
    sweeps.begin(sweep)
    with sweeps.terminable():
        try:
            run()
        except (HydraException, OmegaConfBaseException):
            raise  # none has begun
        except Exception as error:  # a launcher lost a job; the records say which
            said = str(error).strip()
            if "plugin" in said.lower():
                raise SpotError(f'{said.splitlines()[0]}; pip install "spot-tracking[launchers]"') from None
            print(f"the launcher says: {said.splitlines()[-1] if said else type(error).__name__}", file=sys.stderr)
    if waiting := sweeps.summarise(sweep):
        raise SpotError(f"{waiting} of {len(sweep.jobs)} jobs are not done; the same command does these again")


def _job_of_a_sweep(config: str) -> None:
    settings = HydraConfig.get()
    sweeps.run_job(
        Path(settings.sweep.dir),
        config,
        list(settings.overrides.task),
        os.environ[sweeps.SWEPT_VARIABLE].split(),
        apart=not settings.launcher._target_.endswith(".BasicLauncher"),
        flags=[f"--config-dir={s.path}" for s in settings.runtime.config_sources if s.provider == "command-line"],
    )


def _stop(text: str) -> NoReturn:
    # an error out of a loader process arrives with that process's traceback; the last line is what was said
    line = text.strip().splitlines()[-1].removeprefix("spot.runtime.errors.SpotError: ")
    sweeps.note_cause(line)
    print(f"error: {line}", file=sys.stderr)
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
