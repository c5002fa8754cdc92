"""Zips for the evaluation servers of GOT-10k and TrackingNet, checked before they are written.

A server takes hours to say that something is wrong, and does not say what. Here every file is read first: all videos, a
finite box for every frame, and times where the server wants them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spot.data.video import VideoSet
from spot.evaluation.ground_truth import truth_of
from spot.results.loading import ResultFiles, check_missing, find_files, find_trackers
from spot.results.parsing import parse_boxes, parse_values
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

SERVERS = {
    "got10k": "GOT-10k: http://got-10k.aitestunion.com/submit_instructions",
    "trackingnet": "TrackingNet: https://eval.ai/web/challenges/challenge-page/1805",
}


def pack(
    videos: VideoSet, results: str | Path, trackers: Sequence[str] | None, output: str | Path, benchmark: str
) -> list[Path]:
    """Write one zip a tracker.

    Args:
        videos: the test set, whose lengths and names the results must have.
        results: folder with `<BENCHMARK>/<TRACKER>/` or `<TRACKER>/`.
        trackers: names or patterns; None for all that are there.
        output: folder of the zips.
        benchmark: its name, which tells the server.

    Returns:
        The zips, `<output>/<BENCHMARK>_<TRACKER>.zip`.

    Raises:
        SpotError: naming the first file that the server would refuse, or a benchmark without a server.
    """
    server = _server(benchmark)
    truth = truth_of(videos, benchmark)
    lengths = dict(zip(videos.names, videos.lengths.tolist(), strict=True))
    written = []
    for tracker, folder in find_trackers(results, benchmark, trackers).items():
        files = find_files(tracker, folder, truth)
        check_missing([files], truth, "stop", remedy="the server wants them all")
        make = _got10k_entries if server == "got10k" else _trackingnet_entries
        entries = {name: text for video, frames in lengths.items() for name, text in make(files, video, frames)}
        written.append(_write_zip(Path(output) / f"{benchmark}_{tracker}.zip", entries))
        print(f"{written[-1]}  ({len(lengths)} videos, upload at {SERVERS[server]})")
    return written


def _server(benchmark: str) -> str:
    key = benchmark.lower().replace("-", "")
    server = next((name for name in SERVERS if key.startswith(name)), None)
    if server is None:
        raise SpotError(f"pack=true: {benchmark} has no evaluation server; GOT-10k and TrackingNet have")
    return server


def _read_boxes(path: Path, video: str, frames: int) -> np.ndarray:
    boxes = parse_boxes(path.read_bytes(), str(path))
    if len(boxes) != frames:
        raise SpotError(f"{path}: {len(boxes)} rows, but video {video} has {frames} frames")
    if (bad := np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))).size:
        raise SpotError(f"{path}, line {bad[0] + 1}: a box has a negative size")
    return boxes


def _got10k_entries(files: ResultFiles, video: str, frames: int) -> list[tuple[str, str]]:
    """`<video>/<video>_001.txt` for each repetition, and `<video>/<video>_time.txt`."""
    entries = [
        (f"{video}/{video}_{number:03d}.txt", _rows(_read_boxes(path, video, frames), "%.4f"))
        for number, path in enumerate(files.boxes[video], 1)
    ]
    path = files.beside(video, "_time")
    if path is None:
        raise SpotError(
            f"{files.folder}: {video}_time.txt is missing; the GOT-10k server wants seconds for every frame"
        )
    seconds = parse_values(path.read_bytes(), str(path))
    if len(seconds) != frames:
        raise SpotError(f"{path}: {len(seconds)} rows, but video {video} has {frames} frames")
    if (bad := np.flatnonzero(~np.isfinite(seconds) | (seconds < 0))).size:
        raise SpotError(f"{path}, line {bad[0] + 1}: {seconds[bad[0]]} is not a time in seconds")
    return [*entries, (f"{video}/{video}_time.txt", _rows(seconds[:, None], "%.6f"))]


def _trackingnet_entries(files: ResultFiles, video: str, frames: int) -> list[tuple[str, str]]:
    """`<video>.txt`."""
    return [(f"{video}.txt", _rows(_read_boxes(files.boxes[video][0], video, frames), "%.4f"))]


def _rows(table: np.ndarray, number: str) -> str:
    line = ",".join([number] * table.shape[1])
    return "".join(f"{line % tuple(row)}\n" for row in table.tolist())


def _write_zip(path: Path, entries: dict[str, str]) -> Path:
    """The same entries give the same bytes; the zip appears whole or not at all."""
    with replacing(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(entries.items()):
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return path
