"""Hydra launcher of sweeps: a process a job, stable folders, failed jobs listed (see `spot.runtime.sweeps`).

Hydra finds launchers in the namespace package `hydra_plugins` alone. Choices: `conf/hydra/launcher/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


class ProcessLauncher(Launcher):
    """Runs each combination of a sweep as `python -m spot.<command> ...`.

    Args:
        n_jobs: jobs at once; with more than one, their output goes to log.txt in their folders.
        through: another launcher's class that starts the processes, such as submitit's for SLURM. It gets all other
            settings in the launcher's file.
    """

    def __init__(self, n_jobs: int = 1, through: str | None = None, **_: Any) -> None:
        self.n_jobs = n_jobs
        self.through = through
        self.inner: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Name the sweep's folder after `sweep=` or after the swept keys."""
        from spot.runtime.sweeps import MAKES_RUNS, sweep_folder

        self.config, self.command = config, str(config.hydra.job.config_name)
        self.swept = _swept_keys(config, hydra_context)
        name = config.get("sweep") if self.command in MAKES_RUNS else None
        self.folder = sweep_folder(self.command, config.paths.outputs, name, self.swept)
        self.label = self.folder.relative_to(config.paths.outputs).as_posix()
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.sweep.dir = str(self.folder)
        if self.through:
            settings = OmegaConf.to_container(config.hydra.launcher, resolve=True)
            assert isinstance(settings, dict)
            own = ("_target_", "n_jobs", "through")
            self.inner = _plugin(self.through)(**{str(k): v for k, v in settings.items() if k not in own})
            self.inner.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs. How they ended is in their records; a failed one does not stop the others."""
        from spot.runtime.errors import SpotError
        from spot.runtime.sweep_jobs import Job, run_options, run_sweep, terminable
        from spot.runtime.sweeps import Record, Sweep, begin, job_name, summarise, write_record

        if not job_overrides:
            raise SpotError("the sweep has no job: a glob(...) matches no file in its folder of conf/; list the values")
        values = [{key: dict(map(_split, words)).get(key, "") for key in self.swept} for words in job_overrides]
        names = [job_name(each) for each in values]
        if len(set(names)) < len(names):
            raise SpotError("two jobs of the sweep are the same; give every value once")
        sweep = Sweep(self.folder, self.command, dict(zip(names, values, strict=True)))
        if self.inner is None:
            jobs = [
                Job(
                    self.folder / name,
                    self.command,
                    run_options(self.command, self.label, name, words),
                    _flags(self.config.hydra),
                )
                for name, words in zip(names, job_overrides, strict=True)
            ]
            waiting = run_sweep(sweep, jobs, self.n_jobs)
        else:
            begin(sweep)
            told = [
                [*words, f"hydra.sweep.dir='{self.folder}'", f"hydra.job.name='{name}'"]
                for name, words in zip(names, job_overrides, strict=True)
            ]
            with terminable():
                ends = self.inner.launch(told, initial_job_idx)
            for name, end in zip(names, ends, strict=False):
                if end.status == JobStatus.FAILED:
                    write_record(self.folder / name, Record("failed", str(end._return_value).splitlines()[-1]))
            waiting = summarise(sweep)
        if waiting:
            raise SpotError(f"{waiting} of {len(names)} jobs are not finished; the same command runs them again")
        done = [JobReturn(overrides=words, status=JobStatus.COMPLETED) for words in job_overrides]
        for each in done:
            each.return_value = None
        return done


def run_this_job(config: DictConfig, hydra: Any) -> None:
    """Run the process of a job, in the place of the command: what another launcher's worker calls.

    Args:
        config: of the job.
        hydra: Hydra's own settings of the job.
    """
    from spot.runtime.errors import SpotError
    from spot.runtime.sweep_jobs import Job, run_job, run_options

    if hydra.launcher._target_ != f"{__name__}.{ProcessLauncher.__name__}":
        raise SpotError("hydra/launcher=: choose processes, parallel, slurm or slurm_here")
    folder, command = Path(hydra.sweep.dir), str(hydra.job.config_name)
    label = folder.relative_to(config.paths.outputs).as_posix()
    options = run_options(command, label, hydra.job.name, list(hydra.overrides.task))
    run_job(Job(folder / hydra.job.name, command, options, _flags(hydra)))


def _swept_keys(config: DictConfig, hydra_context: HydraContext) -> list[str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    params = OmegaConf.to_container(config.hydra.sweeper.get("params") or OmegaConf.create({}))
    assert isinstance(params, dict)
    words = ["=".join(map(str, pair)) for pair in params.items()] + list(config.hydra.overrides.task)
    parsed = OverridesParser.create(config_loader=hydra_context.config_loader).parse_overrides(words)
    return [override.get_key_element().lstrip("+~") for override in parsed if override.is_sweep_override()]


def _flags(hydra: Any) -> tuple[str, ...]:
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    kept = [word for word in hydra.overrides.hydra if word.startswith("hydra.searchpath=")]
    return (*kept, *(f"--config-dir={folder}" for folder in folders))


def _plugin(name: str) -> Any:
    from hydra.utils import get_class

    from spot.runtime.errors import SpotError
    from spot.runtime.extras import how_to_install

    try:
        return get_class(name)
    except Exception:
        raise SpotError(f"this launcher needs {name.split('.')[1]}; {how_to_install('launchers')}") from None


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.lstrip("+~"), value
