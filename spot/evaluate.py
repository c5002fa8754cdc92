"""Evaluate result files: `python -m spot.evaluate benchmark=lasot trackers=[a,b]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from spot.runtime.command import command
from spot.runtime.errors import SpotError

Summary = dict[str, dict[str, float]]


def evaluate(cfg: DictConfig) -> Summary | list[Path]:
    """Evaluate trackers, or the jobs of a sweep (`sweep=`), or write the zips of a server (`pack=true`).

    Returns:
        {tracker: {measure: value}}, fractions of 1; for a sweep and for zips the files written.
    """
    if cfg.get("logger") and not _to_wandb(cfg):
        raise SpotError(
            "logger=: an evaluation is written to files; choose wandb to send it to Weights & Biases too, or leave logger= out"
        )
    if cfg.sweep is not None:
        return evaluate_sweep(cfg)
    if cfg.pack:
        from spot.results.server_zips import pack

        videos = instantiate(cfg.benchmark.videos)
        lengths = dict(zip(videos.names, videos.lengths.tolist(), strict=True))
        return pack(lengths, cfg.results, names_in(cfg.trackers), cfg.output, benchmark=cfg.benchmark.name)
    return evaluate_trackers(cfg, cfg, names_in(cfg.trackers), Path(cfg.output))


def evaluate_trackers(
    cfg: DictConfig, settings: DictConfig, trackers: Sequence[str] | None, output: Path, last: str | None = None
) -> Summary:
    """Evaluate results of the benchmark `cfg.benchmark`; with `logger=wandb` they go to Weights & Biases too.

    Args:
        cfg: with benchmark, paths and logger.
        settings: options of `spot.reporting.options.Options`; those that it lacks keep their defaults.
        trackers: names or patterns; None for all that have results.
        output: folder of the report.
        last: name of the tracker whose scores are logged one by one on Weights & Biases.
    """
    from spot.reporting.evaluate_benchmark import evaluate as evaluate_results
    from spot.reporting.options import Options

    options = {each.name: settings[each.name] for each in fields(Options) if each.name in settings}
    options["protocol"] = options.get("protocol") or cfg.benchmark.get("protocol")
    options["compare"] = names_in(options.get("compare"))
    summary = evaluate_results(
        instantiate(cfg.benchmark.videos),
        settings.get("results", cfg.paths.results),
        trackers,
        output,
        Options(**options),
        benchmark=cfg.benchmark.name,
        result_format=cfg.benchmark.get("result_format", "plain"),
    )
    if _to_wandb(cfg):
        _publish(cfg, summary, output, last)
    return summary


def names_in(value: Any) -> tuple[str, ...] | None:
    """Read names from an option: a list, or one name alone; numbers are names too."""
    if value is None:
        return None
    return tuple(map(str, [value] if isinstance(value, str | int | float) else value))


def _to_wandb(cfg: DictConfig) -> bool:
    return "open_wandb" in str((cfg.get("logger") or {}).get("_target_"))


def _publish(cfg: DictConfig, summary: Summary, output: Path, last: str | None) -> None:
    """Log to the training run where there is one, else to a run of its own."""
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


def evaluate_sweep(cfg: DictConfig) -> list[Path]:
    """Write a table and a plot over the jobs of a sweep, beside the usual report on their last epochs; the files."""
    from spot.reporting.sweep_report import JobRow, last_epoch, latest_trackers, print_sweep, write_sweep
    from spot.runtime.sweeps import find_sweep
    from spot.training.csv_logger import read_rows

    if cfg.trackers is not None:
        raise SpotError("sweep= says which trackers to evaluate; leave out trackers=")
    sweep = find_sweep(cfg.sweep, cfg.paths.outputs)
    folder = sweep.folder
    output = Path(cfg.output) / _label(folder, Path(cfg.paths.outputs))  # a/x and b/x are two
    results = Path(cfg.results) / cfg.benchmark.name
    names = [entry.name for entry in results.iterdir()] if results.is_dir() else []
    trackers = latest_trackers(sweep.jobs, _label(folder, Path(cfg.paths.outputs)), names)
    if missing := [job for job in sweep.jobs if job not in trackers]:
        print(
            f"{len(missing)} of {len(sweep.jobs)} jobs have no results on {cfg.benchmark.name}; make them by "
            f"python -m spot.test sweep={cfg.sweep} benchmark=..."
        )
    summary = evaluate_trackers(cfg, cfg, list(trackers.values()), output) if trackers else {}
    rows = [
        JobRow(
            job,
            swept,
            trackers.get(job),
            last_epoch(read_rows(folder / job / "metrics.csv")),
            summary.get(trackers.get(job, ""), {}),
        )
        for job, swept in sweep.jobs.items()
    ]
    title = f"{folder.name} on {cfg.benchmark.name}"
    written = write_sweep(rows, title, output)
    print_sweep(rows, title, output / "sweep.csv")
    print(written[-1])
    return written


def _label(folder: Path, outputs: Path) -> str:
    """Return what the results of a sweep's jobs begin with: its place under the outputs, with underscores."""
    folder, outputs = folder.resolve(), outputs.resolve()
    return "_".join(folder.relative_to(outputs).parts) if folder.is_relative_to(outputs) else folder.name


@command("evaluate")
def main(cfg: DictConfig) -> None:
    evaluate(cfg)


if __name__ == "__main__":
    main()
