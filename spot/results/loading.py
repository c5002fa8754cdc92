"""Result folders to arrays: find each video's file in any of the layouts in use, read all of them once, remember them.

Layouts (METHOD.md section 7): `<SEQUENCE>.txt`; GOT-10k's `<SEQUENCE>/<SEQUENCE>_001.txt` with `<SEQUENCE>_time.txt`;
VOT's `baseline/<SEQUENCE>/<SEQUENCE>_001.txt`; VOT-LT's `longterm/<SEQUENCE>/<SEQUENCE>_001.txt` with
`_001_confidence.value`. A tracker's folder may lie in `results/<BENCHMARK>/` or directly in `results/`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spot.evaluation.ground_truth import GroundTruth
from spot.results.parsing import parse_boxes, parse_values
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

LONGER_IN_THE_FIELD = {"monkey-17"}
"""LaSOT videos for which many published results have rows beyond the annotation; toolkits cut them."""


@dataclass(frozen=True)
class ResultFiles:
    """The files of one tracker on one benchmark.

    Attributes:
        tracker: its name.
        folder: where it lies.
        boxes: video name to its result files, one a repetition.
        missing: videos without one, in order.
    """

    tracker: str
    folder: Path
    boxes: dict[str, tuple[Path, ...]]
    missing: tuple[str, ...] = ()
    others: dict[str, Path] = field(default_factory=dict)

    def beside(self, video: str, suffix: str) -> Path | None:
        """A companion file of a video (`_time.txt`, `_001_confidence.value`), or None."""
        return self.others.get(_key(video) + suffix)


def find_trackers(results: str | Path, benchmark: str, trackers: Sequence[str] | None) -> dict[str, Path]:
    """Folder of each tracker.

    Args:
        results: the results folder, or one benchmark's folder in it.
        benchmark: name of the benchmark, in any case.
        trackers: names or patterns (`run_e*`); None for all there are.

    Raises:
        SpotError: naming the tracker that is not there, and those that are.
    """
    root = Path(results).expanduser()
    if not root.is_dir():
        raise SpotError(f"results={root} is not a folder")
    own = [_key(benchmark), _key(benchmark.rpartition("_")[0])]  # GOT-10k_val also lies in GOT-10k
    places = [child for key in own for child in _folders(root) if key and _key(child.name) == key]
    known: dict[str, Path] = {}
    for place in [*places, root]:
        for folder in _folders(place):
            if folder not in places:
                known.setdefault(folder.name, folder)
        if trackers is None and known:
            break
    if trackers is None:
        if not known:
            raise SpotError(f"{[*places, root][0]} has no tracker's folder")
        return known
    found: dict[str, Path] = {}
    for wanted in trackers:
        names = [n for n in known if n == wanted] or [n for n in known if n.lower() == wanted.lower()]
        names = names or sorted(fnmatch.filter(known, wanted))
        if not names and root.name.lower() == wanted.lower():
            known[root.name] = root
            names = [root.name]
        if not names:
            there = ", ".join(sorted(known)[:8]) or "none"
            raise SpotError(f"no results of tracker {wanted} for {benchmark} in {root}; there are: {there}")
        found.update({name: known[name] for name in names})
    return found


def _folders(place: Path) -> list[Path]:
    return sorted(child for child in place.iterdir() if child.is_dir())


def find_files(tracker: str, folder: Path, truth: GroundTruth) -> ResultFiles:
    """Match the files in a tracker's folder with the videos of the benchmark.

    Names match whatever their case and punctuation, with or without the benchmark's name in front.

    Raises:
        SpotError: where not one file belongs to a video of the benchmark.
    """
    runs: dict[str, list[Path]] = {}
    others: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".txt", ".value", ".csv")):
        stem = path.stem
        if path.suffix == ".value" or stem.lower().endswith(("_time", "_confidence")):
            kind = "_time" if stem.lower().endswith("_time") else "_confidence"
            base = re.sub(r"(_\d{3})?_(time|confidence)$", "", stem, flags=re.IGNORECASE)
            others.setdefault(_key(base) + kind, path)
            continue
        base = re.sub(r"_\d{3}$", "", stem) if _key(path.parent.name) == _key(stem[:-4]) else stem
        runs.setdefault(_key(base), []).append(path)
    boxes, missing = {}, []
    for video in truth.names:
        paths = next((runs[k] for k in _spellings(video, truth.benchmark) if k in runs), None)
        if paths is None:
            missing.append(video)
        else:
            boxes[video] = tuple(paths)
    if not boxes:
        example = next((p[0].name for p in runs.values()), None)
        has = f"has files such as {example}, results of another benchmark?" if example else "has no result files"
        raise SpotError(f"{folder} {has} None of the {len(truth.names)} videos of {truth.benchmark} is there")
    return ResultFiles(tracker, folder, boxes, tuple(missing), others)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _spellings(video: str, benchmark: str) -> list[str]:
    """Keys under which the files of a video may lie, likeliest first."""
    key, prefix = _key(video), _key(benchmark)
    short = re.sub(r"\d+$", "", prefix)
    return [key, prefix + key, short + key, key.removeprefix(prefix), key.removeprefix(short)]


def check_missing(
    files: Sequence[ResultFiles], truth: GroundTruth, missing: str, remedy: str = "missing=skip evaluates the others"
) -> None:
    """Raise SpotError, naming them and the remedy, where videos lack results and `missing` is not `skip`."""
    for one in files:
        if one.missing and missing != "skip":
            shown = ", ".join(one.missing[:5]) + (" ..." if len(one.missing) > 5 else "")
            raise SpotError(f"{one.folder} lacks {len(one.missing)} of {len(truth.names)} videos: {shown}; {remedy}")


def read_boxes(files: ResultFiles, truth: GroundTruth, cache: str | Path | None = None) -> np.ndarray:
    """Boxes of a tracker on the videos of the truth, which must all be there.

    Args:
        files: of the tracker; of several repetitions the first is read.
        truth: V videos, N frames.
        cache: folder for the numbers of files already read (keyed by path, size and time of change), or None.

    Returns:
        (N, 4) float64, column-major.

    Raises:
        SpotError: naming the file at fault: text, NaN, or a wrong number of rows.
    """
    kept = _cached(files, truth, cache)
    if kept is not None and kept.is_file():
        return np.load(kept).T
    lengths = truth.lengths.tolist()
    tables = [read_video(files, name, rows) for name, rows in zip(truth.names, lengths, strict=True)]
    boxes = np.ascontiguousarray(np.concatenate(tables).T)
    if kept is not None:
        _keep(kept, boxes)
    return boxes.T


def read_video(files: ResultFiles, name: str, rows: int) -> np.ndarray:
    """(rows, 4) float64 boxes of one video.

    Raises:
        SpotError: naming the file at fault.
    """
    path = files.boxes[name][0]
    boxes = parse_boxes(path.read_bytes(), str(path))
    if len(boxes) > rows and name in LONGER_IN_THE_FIELD:
        boxes = boxes[:rows]
    if len(boxes) != rows:
        raise SpotError(f"{path}: {len(boxes)} rows, but video {name} has {rows} frames")
    return boxes


def _cached(files: ResultFiles, truth: GroundTruth, cache: str | Path | None) -> Path | None:
    """Where the numbers of these very files are kept."""
    if cache is None:
        return None
    stamp = hashlib.blake2b(digest_size=16)
    for video in truth.names:
        path = files.boxes[video][0]
        status = path.stat()
        stamp.update(f"{path}|{status.st_size}|{status.st_mtime_ns}|".encode())
    owner = hashlib.blake2b(str(files.folder.resolve()).encode(), digest_size=6).hexdigest()
    return Path(cache) / f"{owner}-{stamp.hexdigest()}.npy"


def _keep(kept: Path, boxes: np.ndarray) -> None:
    """Write the numbers, in one step, in place of older ones of the same folder."""
    with replacing(kept, "give another folder as cache=, or cache=null") as aside:
        with open(aside, "wb") as file:
            np.save(file, boxes)
        for older in kept.parent.glob(kept.name.split("-")[0] + "-*.npy"):
            older.unlink(missing_ok=True)


def read_times(files: ResultFiles) -> np.ndarray:
    """Seconds of every frame for which the tracker wrote a time, over all videos."""
    paths = (files.beside(video, "_time") for video in files.boxes)
    values = [parse_values(path.read_bytes(), str(path)) for path in paths if path is not None]
    return np.concatenate(values) if values else np.zeros(0)
