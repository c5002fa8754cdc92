"""Write the result files of a tracker, one video at a time, in the format of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spot.results import got10k_files, plain_files, vot_files
from spot.results.result_track import Files, Track
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError


class Format(NamedTuple):
    """A result format: makes the files of a video; `box_file.format(video)` is written last."""

    files: Callable[[str, Track], Files]
    box_file: str


FORMATS = {
    plain_files.NAME: Format(plain_files.files, plain_files.BOX_FILE),
    got10k_files.NAME: Format(got10k_files.files, got10k_files.BOX_FILE),
    vot_files.SUPERVISED: Format(vot_files.supervised_files, vot_files.BOX_FILES[vot_files.SUPERVISED]),
    vot_files.LONG_TERM: Format(vot_files.long_term_files, vot_files.BOX_FILES[vot_files.LONG_TERM]),
}


def check_format(name: str) -> None:
    """Raise SpotError unless `name` is one of `FORMATS`."""
    if name not in FORMATS:
        raise SpotError(f"benchmark.result_format={name} is unknown; use {', '.join(FORMATS)}")


class ResultFolder:
    """The folder `results/<BENCHMARK>/<TRACKER>`.

    Args:
        folder: the folder; it is made when the first result is written.
        result_format: one of `FORMATS`.

    Raises:
        SpotError: an unknown format.
    """

    def __init__(self, folder: str | Path, result_format: str = plain_files.NAME) -> None:
        check_format(result_format)
        self.folder = Path(folder)
        self.result_format = result_format

    def is_finished(self, name: str, frames: int) -> bool:
        """Return whether the video's result exists with a row for every frame."""
        try:
            return (self.folder / FORMATS[self.result_format].box_file.format(name)).read_bytes().count(b"\n") == frames
        except FileNotFoundError:
            return False

    def write(self, name: str, track: Track) -> None:
        """Write the files of a video, each atomically, the boxes last."""
        for path, content in FORMATS[self.result_format].files(name, track).items():
            write_result(self.folder / path, content)


def write_result(file: Path, content: str) -> None:
    """Write a file atomically. Raise SpotError if it cannot be written."""
    with replacing(file, "free space, or set paths.results") as aside:
        aside.write_text(content)
