"""python -m spot.check data=lasot: check that a data set is complete; list missing and broken files and wrong boxes.

`run=NAME` checks the files of a training run: checkpoints, sampler state, metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from spot.runtime.command import command
from spot.runtime.cpu import count_cores
from spot.runtime.errors import SpotError
from spot.runtime.wording import counted


def check(cfg: DictConfig) -> int:
    """Check the sets of `data=` and the videos of `benchmark=`. Print faults; of many equal ones, some and their number.

    Returns:
        The number of faults.

    Raises:
        SpotError: nothing to check, or a data set that cannot be opened at all.
    """
    from hydra.utils import instantiate
    from rich.console import Console
    from rich.progress import Progress

    from spot.data.inspection import Fault, Finding, Report, check_videos

    console = Console(stderr=True)
    videos = frames = 0
    report = Report()

    def show(finding: Finding) -> None:
        for line in report.add(finding):
            print(line)

    if cfg.run is not None:
        from spot.training.run_check import run_faults

        for line in run_faults(Path(cfg.paths.outputs) / str(cfg.run)):
            show(Finding(line, 0, (Fault("damaged file of a run", line),)))
        print(f"run {cfg.run}: {counted(len(report), 'damaged file')}")
    for node, is_benchmark in _sets(cfg):
        broken: list[str] = []
        with console.status(f"reading annotations of {node._target_.split('.')[-2]}"):
            opened = instantiate(node, _partial_=True)(broken=broken)
        for line in broken:
            show(Finding(line, 0, (Fault("video that cannot be opened", line),)))
        workers = cfg.workers or count_cores()
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(opened.name, total=int(opened.lengths.sum()))
            for finding in check_videos(opened, cfg.quick, exact=not is_benchmark, workers=workers):
                progress.advance(task, finding.frames)
                show(finding)
        videos += len(opened) + len(broken)
        frames += int(opened.lengths.sum())
        name = f"{opened.name} {opened.split}".rstrip()  # own videos have no split
        print(f"{name}: {counted(len(opened), 'video')}, {opened.lengths.sum()} annotated frames")
    for line in report.summary():
        print(line)
    found = f"{counted(videos, 'video')}, {counted(frames, 'frame')}, {counted(len(report), 'fault')}"
    print(found + (" (existence only)" if cfg.quick else ""))
    return len(report)


def _sets(cfg: DictConfig) -> Iterator[tuple[DictConfig, bool]]:
    """Yield what to instantiate, and whether it is a benchmark."""
    if cfg.get("data") is None and cfg.get("benchmark") is None and cfg.run is None:
        raise SpotError("nothing to check; give data=lasot, benchmark=otb100 or both, or run=NAME")
    if cfg.get("data") is not None:
        for node in cfg.data.train:
            yield node, False
    if cfg.get("benchmark") is not None:
        yield cfg.benchmark.videos, True


@command("check")
def main(cfg: DictConfig) -> None:
    if faults := check(cfg):
        raise SpotError(f"{counted(faults, 'fault')}, named above; repair or download these files again")


if __name__ == "__main__":
    main()
