"""Evaluate result files: `python -m spot.evaluate benchmark=lasot trackers=[a,b]`."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from spot.command import command


@command("evaluate")
def main(cfg: DictConfig) -> None:
    from spot.evaluation.benchmark import evaluate
    from spot.evaluation.options import Options

    videos = instantiate(cfg.benchmark.videos)
    if cfg.pack:
        from spot.evaluation.packing import pack

        pack(videos, cfg.results, cfg.trackers, cfg.output, benchmark=cfg.benchmark.name)
        return
    options = Options(
        protocol=cfg.protocol or cfg.benchmark.get("protocol"),
        exclude_invalid=cfg.exclude_invalid,
        missing=cfg.missing,
        per_video=cfg.per_video,
        attributes=cfg.attributes,
        bootstrap=cfg.bootstrap,
        compare=None if cfg.compare is None else tuple(cfg.compare),
        seed=cfg.seed,
        worst=cfg.worst,
        plots=cfg.plots,
        report=cfg.report,
        bounds=cfg.bounds,
    )
    evaluate(
        videos,
        cfg.results,
        cfg.trackers,
        cfg.output,
        options,
        benchmark=cfg.benchmark.name,
        result_format=cfg.benchmark.get("result_format", "plain"),
        cache=cfg.cache,
    )


if __name__ == "__main__":
    main()
