"""Zips for the evaluation servers of GOT-10k and TrackingNet, checked before they are written.

A server reports errors only after hours, and without the cause. So every file is checked first: all videos, a finite
box for every frame, and times if the server needs them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spot.results import got10k_files, plain_files
from spot.results.result_track import as_text
from spot.results.searching import ResultFiles, check_missing, find_files, find_trackers
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError
from spot.runtime.wording import counted

SERVERS = {
    "got10k": "GOT-10k: http://got-10k.aitestunion.com/submit_instructions",
    "trackingnet": "TrackingNet: https://eval.ai/web/challenges/challenge-page/1805",
}


def pack(
    lengths: Mapping[str, int], results: str | Path, trackers: Sequence[str] | None, output: str | Path, benchmark: str
) -> list[Path]:
    """Write one zip a tracker.

    Args:
        lengths: videos of the test set and their frames.
        results: folder with `<BENCHMARK>/<TRACKER>/` or `<TRACKER>/`.
        trackers: names or patterns; None for all.
        output: folder of the zips.
        benchmark: its name, which decides the server.

    Returns:
        The zips, `<output>/<BENCHMARK>_<TRACKER>.zip`.

    Raises:
        SpotError: naming the first file that the server would refuse, or a benchmark without a server.
    """
    server = server_of(benchmark)
    if server is None:
        raise SpotError(f"pack=true: {benchmark} has no evaluation server; GOT-10k and TrackingNet have")
    written = []
    for tracker, folder in find_trackers(results, benchmark, trackers).items():
        files = find_files(tracker, folder, list(lengths), benchmark)
        check_missing(files, "stop", remedy="the server needs all of them")
        make = _got10k_entries if server == "got10k" else _trackingnet_entries
        entries = {name: text for video, frames in lengths.items() for name, text in make(files, video, frames)}
        path = Path(output) / f"{benchmark}_{tracker}.zip"
        with replacing(path) as aside, zipfile.ZipFile(aside, "w") as archive:
            for name, text in sorted(entries.items()):  # a ZipInfo without a time: equal results give equal bytes
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        print(f"{path}  ({counted(len(lengths), 'video')}, upload at {SERVERS[server]})")
        written.append(path)
    return written


def server_of(benchmark: str) -> str | None:
    """Return key in `SERVERS` of the server that keeps a benchmark's annotation; None for all other sets."""
    key = benchmark.lower().replace("-", "")
    return next((name for name in SERVERS if key.startswith(name)), None)


def _read_boxes(path: Path, video: str, frames: int) -> np.ndarray:
    boxes = plain_files.read_boxes(path)
    if len(boxes) != frames:
        raise SpotError(f"{path}: {len(boxes)} rows, but video {video} has {frames} frames")
    if (bad := np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))).size:
        raise SpotError(f"{path}, line {bad[0] + 1}: a box has a negative size")
    return boxes


def _got10k_entries(files: ResultFiles, video: str, frames: int) -> list[tuple[str, str]]:
    """`<video>/<video>_001.txt` for each repetition, and `<video>/<video>_time.txt` with a column a repetition."""
    tables = [_read_boxes(path, video, frames) for path in files.boxes[video]]
    if video not in files.times:
        raise SpotError(
            f"{files.folder}: {video}_time.txt is missing; the GOT-10k server needs seconds for every frame"
        )
    path = files.times[video]
    seconds = got10k_files.read_seconds(path)
    if len(seconds) != frames:
        raise SpotError(f"{path}: {len(seconds)} rows, but video {video} has {frames} frames")
    for line, row in enumerate(seconds.tolist(), 1):
        if wrong := [value for value in row if not 0 <= value < np.inf]:
            raise SpotError(f"{path}, line {line}: {wrong[0]} is not a time in seconds")
    entries = [(f"{video}/{video}_{i:03d}.txt", as_text(table, 4)) for i, table in enumerate(tables, 1)]
    return [*entries, (got10k_files.TIME_FILE.format(video), as_text(seconds))]


def _trackingnet_entries(files: ResultFiles, video: str, frames: int) -> list[tuple[str, str]]:
    """`<video>.txt` alone."""
    path, *others = files.boxes[video]
    if others:
        raise SpotError(f"{files.folder}: {1 + len(others)} repetitions of {video}; TrackingNet takes one")
    return [(plain_files.BOX_FILE.format(video), as_text(_read_boxes(path, video, frames), 4))]
