"""Result files of a tracker, one video at a time, in the formats of the benchmarks (METHOD.md section 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

# Row codes of the supervised protocol; a row that holds a box has BOX.
BOX, SKIPPED, INITIALISED, FAILED = -1, 0, 1, 2


@dataclass(frozen=True, eq=False)
class Track:
    """A tracked video of n frames.

    Attributes:
        boxes: (n, 4) float64 xywh, image pixels; the first row is the given box.
        scores: (n,) float64 in [0, 1]; 1 where the tracker was initialised.
        seconds: (n,) float64, time spent on the frame; decoding excluded, lock-step time shared out equally.
        codes: (n,) int64, one of BOX, SKIPPED, INITIALISED, FAILED; only the VOT formats look at it.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    codes: np.ndarray

    @classmethod
    def empty(cls, frames: int) -> Track:
        """A track to be filled; every frame is skipped so far."""
        return cls(np.zeros((frames, 4)), np.zeros(frames), np.zeros(frames), np.full(frames, SKIPPED))


Files = dict[str, str]  # path below the tracker's folder -> content; the last is written last


def _boxes(track: Track) -> list[str]:
    return [",".join(f"{number:.4f}" for number in box) for box in track.boxes.tolist()]


def _column(numbers: np.ndarray) -> str:
    return "".join(f"{number:.6f}\n" for number in numbers.tolist())


def _lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _plain(name: str, track: Track) -> Files:
    return {f"{name}.txt": _lines(_boxes(track))}


def _got10k(name: str, track: Track) -> Files:
    return {
        f"{name}/{name}_time.txt": _column(track.seconds),
        f"{name}/{name}_001.txt": _lines(_boxes(track)),
    }


def _vot(name: str, track: Track) -> Files:
    codes = track.codes.tolist()
    rows = [box if code == BOX else str(code) for box, code in zip(_boxes(track), codes, strict=True)]
    return {f"baseline/{name}/{name}_001.txt": _lines(rows)}


def _vot_lt(name: str, track: Track) -> Files:
    folder = f"longterm/{name}"
    return {
        f"{folder}/{name}_time.txt": _column(track.seconds),
        # the first line of the confidences stays blank: the tracker has nothing to say of the given box
        f"{folder}/{name}_001_confidence.value": "\n" + _column(track.scores[1:]),
        f"{folder}/{name}_001.txt": _lines([str(INITIALISED), *_boxes(track)[1:]]),
    }


# Format -> (its files, the path of the box file, which is written last and proves that all are there).
FORMATS: dict[str, tuple[Callable[[str, Track], Files], str]] = {
    "plain": (_plain, "{0}.txt"),
    "got10k": (_got10k, "{0}/{0}_001.txt"),
    "vot": (_vot, "baseline/{0}/{0}_001.txt"),
    "vot_lt": (_vot_lt, "longterm/{0}/{0}_001.txt"),
}


class ResultFolder:
    """The folder `results/<BENCHMARK>/<TRACKER>`.

    Args:
        folder: made when the first result is written.
        result_format: plain, got10k, vot or vot_lt.

    Raises:
        SpotError: an unknown format.
    """

    def __init__(self, folder: str | Path, result_format: str = "plain") -> None:
        if result_format not in FORMATS:
            raise SpotError(f"benchmark.result_format={result_format} is unknown; use {', '.join(FORMATS)}")
        self.folder = Path(folder)
        self.result_format = result_format

    def is_finished(self, name: str, frames: int) -> bool:
        """Whether the video's result is there with a row for every frame."""
        try:
            return (self.folder / FORMATS[self.result_format][1].format(name)).read_bytes().count(b"\n") == frames
        except FileNotFoundError:
            return False

    def write(self, name: str, track: Track) -> None:
        """Write the files of a video: each appears whole or not at all, the boxes last."""
        for path, content in FORMATS[self.result_format][0](name, track).items():
            write_result(self.folder / path, content)


def write_result(file: Path, content: str) -> None:
    """Whole or not at all. Raises SpotError where it cannot be written."""
    with replacing(file, "free the place or set paths.results") as aside:
        aside.write_text(content)
