"""Evaluate result files: `python -m spot.evaluate benchmark=lasot trackers=[a,b]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from spot.runtime.command import command
from spot.runtime.errors import SpotError

Summary = dict[str, dict[str, float]]


def evaluate(
    cfg: DictConfig, settings: DictConfig, trackers: Sequence[str] | None, output: Path, last: str | None = None
) -> Summary:
    """Evaluate results of the benchmark `cfg.benchmark`; with `logger=wandb` they go there too.

    Args:
        cfg: with benchmark, paths and logger.
        settings: options of `spot.evaluation.options.Options`; those that it lacks keep their defaults.
        trackers: names or patterns; None for all that are there.
        output: folder of the report.
        last: name of the tracker whose scores are followed from run to run on Weights & Biases.
    """
    from spot.evaluation.benchmark import evaluate as evaluate_results
    from spot.evaluation.options import Options

    options = {each.name: settings[each.name] for each in fields(Options) if each.name in settings}
    options["protocol"] = options.get("protocol") or cfg.benchmark.get("protocol")
    if options.get("compare") is not None:
        options["compare"] = tuple(options["compare"])
    summary = evaluate_results(
        instantiate(cfg.benchmark.videos),
        settings.get("results", cfg.paths.results),
        trackers,
        output,
        Options(**options),
        benchmark=cfg.benchmark.name,
        result_format=cfg.benchmark.get("result_format", "plain"),
        cache=settings.get("cache", f"{cfg.paths.cache}/results"),
    )
    if _to_wandb(cfg):
        _publish(cfg, summary, output, last)
    return summary


def _to_wandb(cfg: DictConfig) -> bool:
    return "open_wandb" in str((cfg.get("logger") or {}).get("_target_"))


def _publish(cfg: DictConfig, summary: Summary, output: Path, last: str | None) -> None:
    """To the training run where there is one, else to a run of its own."""
    from spot.reporting.publishing import publish
    from spot.training.loggers import close

    own = (
        {}
        if cfg.get("run")
        else {"run": f"{cfg.benchmark.name}", "folder": output, "job_type": "evaluate", "new": True}
    )
    logger = instantiate(cfg.logger, **own)
    publish(logger.experiment, cfg.benchmark.name, summary, output, last if last in summary else None)
    close([logger])


def evaluate_sweep(cfg: DictConfig) -> None:
    """A table and a plot over the jobs of a sweep, beside the usual report on their last epochs."""
    from spot.reporting.sweep_report import JobRow, last_epoch, latest_trackers, print_sweep, write_sweep
    from spot.runtime.sweeps import PLAN_FILE, read_sweep

    if cfg.trackers is not None:
        raise SpotError("sweep= says which trackers to evaluate; leave out trackers=")
    folder = Path(cfg.sweep) if (Path(cfg.sweep) / PLAN_FILE).is_file() else Path(cfg.paths.outputs) / cfg.sweep
    sweep = read_sweep(folder)
    output = Path(cfg.output) / folder.name
    results = Path(cfg.results) / cfg.benchmark.name
    names = [entry.name for entry in results.iterdir()] if results.is_dir() else []
    trackers = latest_trackers(sweep.jobs, folder.name, names)
    summary = evaluate(cfg, cfg, list(trackers.values()), output) if trackers else {}
    rows = [
        JobRow(
            job,
            swept,
            trackers.get(job),
            last_epoch(folder / job / "metrics.csv"),
            summary.get(trackers.get(job, ""), {}),
        )
        for job, swept in sweep.jobs.items()
    ]
    title = f"{folder.name} on {cfg.benchmark.name}"
    written = write_sweep(rows, title, output)
    print_sweep(rows, title)
    if missing := [job for job in sweep.jobs if job not in trackers]:
        print(
            f"{len(missing)} of {len(sweep.jobs)} jobs have no results on {cfg.benchmark.name}; of the first: "
            f"python -m spot.test run={folder.name}/{missing[0]} benchmark=..."
        )
    print(written[-1])


@command("evaluate")
def main(cfg: DictConfig) -> None:
    if cfg.get("logger") and not _to_wandb(cfg):
        raise SpotError(
            "logger=: an evaluation goes to files, and with logger=wandb to Weights & Biases; choose wandb or none"
        )
    if cfg.sweep is not None:
        evaluate_sweep(cfg)
    elif cfg.pack:
        from spot.results.server_zips import pack

        pack(instantiate(cfg.benchmark.videos), cfg.results, cfg.trackers, cfg.output, benchmark=cfg.benchmark.name)
    else:
        evaluate(cfg, cfg, cfg.trackers, Path(cfg.output))


if __name__ == "__main__":
    main()
