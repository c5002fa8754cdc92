"""Turn a function into a command: read the command line, compose and check the configuration, run, report errors.

Between `python -m spot.train ...` and `train(cfg)` in `spot/train.py`:

1. `prepare` replaces old option names and quotes names that look like numbers (`spot/runtime/command_line.py`);
   `run=NAME` alone takes the options that the run recorded (`spot/runtime/run_record.py`).
2. Hydra composes `conf/train.yaml`, its groups and the options.
3. `check_configuration` tests types, ranges and unknown keys (`spot/runtime/schema.py`), and the settings of every
   `_target_` by its constructor.
4. `train(cfg)` runs. With `-m` the launcher in `hydra_plugins/` repeats the command once for each job instead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from spot.runtime.checking import check_configuration
from spot.runtime.command_line import SWEEP_FLAGS, options_of, prepare
from spot.runtime.composing import config_folder
from spot.runtime.console import make_callable
from spot.runtime.cpu import wait_passively
from spot.runtime.errors import SpotError
from spot.runtime.hydra_messages import explain
from spot.runtime.run_record import with_recorded_options
from spot.runtime.sweep_jobs import note_cause
from spot.runtime.sweeps import MAKES_RUNS

Main = Callable[[DictConfig], object]
TRACEBACK_VARIABLE = "SPOT_TRACEBACK"
"""Environment variable: if set, errors are shown with their traceback."""


def command(config: str) -> Callable[[Main], Callable[[], None]]:
    """Turn `main(cfg)` into a command that reads `conf/<config>.yaml` and `key=value` options.

    Exit status: 0 for success; 1 for an error that the user can correct, in one line on stderr; 130 if interrupted.
    """

    def decorate(main: Main) -> Callable[[], None]:
        make_callable(main.__module__, config)

        def job(cfg: DictConfig) -> object:
            if HydraConfig.get().mode == RunMode.MULTIRUN:  # reached by launchers that start processes themselves
                from hydra_plugins.spot_launcher import run_this_job

                run_this_job(cfg, HydraConfig.get())
                return None
            with _errors_in_one_line(config):  # here too: Hydra would add a line of its own
                check_configuration(config, cfg)
                return main(cfg)

        run = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config)(job)

        def entry() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print several lines and hide the exception
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP would warn of unused parameters: frozen stages
            wait_passively()
            with _errors_in_one_line(config):
                words = prepare(config, sys.argv[1:])
                words = with_recorded_options(config, words)
                sys.argv[1:] = _for_a_sweep(config, words) if set(SWEEP_FLAGS) & set(words) else words
                run()
                _disconnect()

        return entry

    return decorate


@contextlib.contextmanager
def _errors_in_one_line(config: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader of the output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if (line := _line_of(error, config)) and TRACEBACK_VARIABLE not in os.environ:
            _stop(line)
        note_cause(f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}")
        raise


def _line_of(error: Exception, config: str) -> str | None:
    """Return the message of an error that the user can correct; None for a bug in the program."""
    if isinstance(error, SpotError):
        return str(error)
    if isinstance(error, InstantiationException):  # wraps what a constructor raises
        cause = error.__cause__
        if isinstance(cause, SpotError | OSError):
            return _line_of(cause, config)
        place = re.search(r"full_key: (\S+)", str(error))
        # Lightning's trainer refuses its arguments by several kinds of errors
        return f"{place[1]}: {' '.join(str(cause).split())}" if cause and place and place[1] == "trainer" else None
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, which may not be loaded
        return f"the trainer cannot be used so: {' '.join(str(error).split())}"
    if isinstance(error, HydraException | OmegaConfBaseException):  # some are OSErrors too
        return explain(error, config)
    if isinstance(error, ValueError) and "Config group override" in str(error):
        return "a group of conf/ takes the name of one of its files, not null or a number; see --help for the choices"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'output'}: the disk is full; free space, the same command continues"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}; check the path" if error.filename else None
    return None


def _for_a_sweep(config: str, words: list[str]) -> list[str]:
    """Return the words of a sweep, with our launcher unless another is chosen. The parser needs all options together."""
    if any(word in ("-c", "-i") or word.startswith(("--cfg", "--info")) for word in words):
        raise SpotError("--cfg and --info show a single job; leave out -m and give every option one value")
    if config in MAKES_RUNS and any(word.startswith("run=") for word in words):
        raise SpotError("run= names a single run; name a sweep by sweep=NAME, its jobs are named by what is swept")
    options = options_of(words)
    place = words.index(options[-1]) + 1 if options else len(words)
    chosen = any(word.startswith("hydra/launcher=") for word in words)
    return [*words[:place], *([] if chosen else ["hydra/launcher=processes"]), *words[place:]]


def _disconnect() -> None:
    """Close the connections to other processes: their threads can abort an interpreter that shuts down."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _stop(text: str) -> NoReturn:
    # an error of a loader process arrives with that process's traceback; the message is the last line
    line = text.strip().splitlines()[-1].removeprefix("spot.runtime.errors.SpotError: ")
    note_cause(line)
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(1) from None
