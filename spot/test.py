"""python -m spot.test arch=transt run=NAME benchmark=lasot: track a benchmark and write result files."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from spot.runtime.command import command
from spot.runtime.locks import locked
from spot.runtime.precision import resolve_precision


def test(cfg: DictConfig) -> Path:
    """Track every video of the benchmark that has no result yet.

    A run's own architecture settings hold, but for those on the command line.

    Returns:
        The folder of the results, `<paths.results>/<benchmark>/<tracker>`.
    """
    from hydra.utils import instantiate

    from spot.results.result_folder import ResultFolder
    from spot.tracking.benchmark import BenchmarkRun, run_benchmark
    from spot.tracking.test_setup import (
        build_network,
        check_results_folder,
        locate_checkpoint,
        recorded_arch,
        select_videos,
        tracker_name,
    )

    checkpoint = locate_checkpoint(cfg)
    explicit = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
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
        run = BenchmarkRun(network, tracker, videos, results, cfg.batch, cfg.corrupt_fraction, cfg.backend)
        stats = run_benchmark(run, cfg.accelerator, cfg.devices, cfg.num_nodes, cfg.precision)
    if run.global_rank == 0:
        print(f"{cfg.benchmark.name}: {stats.summary(len(videos))} -> {folder}")
    return folder


@command("test")
def main(cfg: DictConfig) -> None:
    test(cfg)


if __name__ == "__main__":
    main()
