"""python -m spot.test arch=transt run=NAME benchmark=lasot: track a benchmark and write result files."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig, open_dict

from spot.runtime.command import command
from spot.runtime.composing import given_options
from spot.runtime.errors import SpotError
from spot.runtime.locks import locked
from spot.runtime.precision import resolve_precision
from spot.runtime.sweep_jobs import Job, run_sweep
from spot.runtime.sweeps import Sweep, find_sweep


def test(cfg: DictConfig) -> Path:
    """Test one network, or the runs of a sweep (`sweep=`).

    Returns:
        The folder of the results, `<paths.results>/<benchmark>/<tracker>`; for a sweep that of the jobs' records.
    """
    return test_tracker(cfg) if cfg.sweep is None else test_sweep(cfg)


def test_tracker(cfg: DictConfig) -> Path:
    """Track every video of the benchmark that has no result yet.

    A run's own architecture settings hold, but for those on the command line.

    Returns:
        The folder of the results, `<paths.results>/<benchmark>/<tracker>`.
    """
    from hydra.utils import instantiate

    from spot.results.result_folder import ResultFolder, write_result
    from spot.tracking.benchmark import BenchmarkRun, run_benchmark
    from spot.tracking.loading import build_network, locate_checkpoint, recorded_arch
    from spot.tracking.test_setup import check_results_folder, select_videos, tracker_name

    checkpoint = locate_checkpoint(cfg)
    explicit = given_options()
    with open_dict(cfg):
        cfg.arch = recorded_arch(cfg, checkpoint, explicit)
        cfg.precision = resolve_precision(cfg.precision, cfg.accelerator)
    network, loaded = build_network(cfg, checkpoint)
    videos = select_videos(instantiate(cfg.benchmark.videos), cfg.videos)
    folder = Path(cfg.paths.results) / cfg.benchmark.name / tracker_name(cfg, checkpoint, loaded)
    results = ResultFolder(folder, cfg.benchmark.result_format)
    with locked(folder, f"the results in {folder}"):
        check_results_folder(results, cfg, checkpoint, loaded)
        tracker = instantiate(cfg.arch.tracker)
        run = BenchmarkRun(network, tracker, videos, results, cfg.batch, cfg.corrupt_fraction, cfg.backend, cfg.speed)
        stats = run_benchmark(run, cfg.accelerator, cfg.devices, cfg.num_nodes, cfg.precision)
        if run.stream is not None:
            write_result(folder / "speed.json", json.dumps(run.stream._asdict()) + "\n")
    if run.global_rank == 0:
        print(f"{cfg.benchmark.name}: {stats.summary(len(videos))} -> {folder}")
    if run.stream is not None:
        speed, frames, video = run.stream
        print(f"single stream: {speed:.1f} frames/s without reading (median of {frames} frames of {video})")
    return folder


def test_sweep(cfg: DictConfig) -> Path:
    """Test the runs of all jobs of a sweep, a process each; `spot.evaluate sweep=` makes their table.

    Returns:
        The folder of the jobs' records.

    Raises:
        SpotError: no such sweep, or some jobs could not be tested.
    """
    if cfg.run is not None or cfg.checkpoint is not None or cfg.tracker is not None:
        raise SpotError("sweep= names the runs and results; leave out run=, checkpoint= and tracker=")
    sweep = find_sweep(cfg.sweep, cfg.paths.outputs)
    options = [word for word in given_options() if not word.startswith("sweep=")]
    name = sweep.folder.resolve().relative_to(Path(cfg.paths.outputs).resolve()).as_posix()
    folder = Path(cfg.paths.outputs) / "sweeps" / f"test_{cfg.benchmark.name}" / name
    jobs = [Job(folder / job, "test", (*options, f"run='{name}/{job}'")) for job in sweep.jobs]
    if waiting := run_sweep(Sweep(folder, "test", sweep.jobs), jobs):
        raise SpotError(f"{waiting} of {len(jobs)} runs are not tested; the same command tests them")
    print(f"next: python -m spot.evaluate sweep={cfg.sweep} benchmark=NAME")
    return folder


@command("test")
def main(cfg: DictConfig) -> None:
    test(cfg)


if __name__ == "__main__":
    main()
