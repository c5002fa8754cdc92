"""Check a run's folder: read every byte of the files that it needs to continue, and of kept files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from spot.runtime.errors import SpotError
from spot.runtime.yaml_files import read_yaml
from spot.state.store import StateStore
from spot.training.checkpoint_files import read_checkpoint
from spot.training.csv_logger import read_rows


def run_faults(folder: Path) -> Iterator[str]:
    """Yield a line for each damaged file of a run: checkpoints, sampler state, metrics.csv, config.yaml.

    Raises:
        SpotError: the folder has no run.
    """
    if not (folder / "config.yaml").is_file():
        raise SpotError(f"{folder}: not a run (no config.yaml); give run= the name of a folder in paths.outputs")
    checks: list[Callable[[], object]] = [partial(read_yaml, folder / "config.yaml")]
    checks += [partial(read_checkpoint, file) for file in sorted((folder / "checkpoints").glob("*.ckpt"))]
    checks.append(partial(read_rows, folder / "metrics.csv"))
    if (folder / "sampler_state").is_dir():
        checks.append(lambda: StateStore.open(folder / "sampler_state").verify())
    for check in checks:
        try:
            check()
        except SpotError as error:
            yield str(error)
