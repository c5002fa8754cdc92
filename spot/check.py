"""python -m spot.check data=lasot: is the data set complete? Names each missing or broken file."""

from __future__ import annotations

import os
from collections.abc import Iterator

from omegaconf import DictConfig

from spot.runtime.command import command
from spot.runtime.errors import SpotError


def check(cfg: DictConfig) -> int:
    """Check the sets of `data=` and the videos of `benchmark=`; prints a line for each fault.

    Returns:
        The number of faults.

    Raises:
        SpotError: nothing to check, or a data set that cannot be opened at all.
    """
    from hydra.utils import instantiate
    from rich.console import Console
    from rich.progress import Progress

    from spot.data.check import check_videos

    console = Console(stderr=True)
    faults = videos = frames = 0

    def tell(line: str) -> None:
        nonlocal faults
        faults += 1
        print(line)

    for node, is_benchmark in _sets(cfg):
        broken: list[str] = []
        with console.status(f"reading annotations of {node._target_.split('.')[-2]}"):
            opened = instantiate(node, _partial_=True)(broken=broken)
        for line in broken:
            tell(line)
        workers = cfg.workers or len(os.sched_getaffinity(0))
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(opened.name, total=int(opened.lengths.sum()))
            for finding in check_videos(opened, cfg.quick, exact=not is_benchmark, workers=workers):
                progress.advance(task, finding.frames)
                for line in finding.faults:
                    tell(line)
        videos += len(opened) + len(broken)
        frames += int(opened.lengths.sum())
        print(f"{opened.name} {opened.split}: {len(opened)} videos, {opened.lengths.sum()} annotated frames")
    print(f"{videos} videos, {frames} frames, {faults} faults" + (" (existence only)" if cfg.quick else ""))
    return faults


def _sets(cfg: DictConfig) -> Iterator[tuple[DictConfig, bool]]:
    """What to instantiate, and whether it is a benchmark."""
    if cfg.get("data") is None and cfg.get("benchmark") is None:
        raise SpotError("nothing to check; give data=lasot, benchmark=otb100 or both")
    if cfg.get("data") is not None:
        for node in cfg.data.train:
            yield node, False
    if cfg.get("benchmark") is not None:
        yield cfg.benchmark.videos, True


@command("check")
def main(cfg: DictConfig) -> None:
    if faults := check(cfg):
        raise SpotError(f"{faults} faults, named above; repair or download these files again")


if __name__ == "__main__":
    main()
