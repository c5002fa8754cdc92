"""Trackers of OpenCV from the first frame of each test video, to compare levels: MIL and, with its files, NanoTrack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track as progress
from runs import Row

from spot.data.video import VideoSet
from spot.reporting.evaluate_benchmark import evaluate_trackers
from spot.reporting.options import Options

PEERS = ("MIL", "NanoTrack_v1")


def maker(name: str, nets: Path) -> Callable[[], Any] | None:
    """Return what makes a tracker; None if its files are missing. `nets` is the folder with NanoTrack's ONNX files."""
    if name == "MIL":
        return cv2.TrackerMIL.create
    files = [nets / f"nanotrackv1_nanotrack_{part}_sim.onnx" for part in ("backbone", "head")]
    if not all(file.is_file() for file in files):
        return None
    parameters = cv2.TrackerNano.Params()
    parameters.backbone, parameters.neckhead = map(str, files)
    return lambda: cv2.TrackerNano.create(parameters)


def peer_rows(videos: VideoSet, nets: Path, folder: Path, track_now: bool) -> list[Row]:
    """Return a row for each peer and video; `first` is the success from the first frame, as `score`, which is all there is.

    Args:
        videos: the test videos.
        nets: folder with NanoTrack's ONNX files.
        folder: of the results, a folder a peer.
        track_now: track videos that have no result yet; else peers with missing results are left out.
    """
    found: list[Row] = []
    for name in PEERS:
        make = maker(name, nets)
        if track_now and make is not None:
            track(make, videos, folder / name)
        if not all((folder / name / f"{video}.txt").is_file() for video in videos.names):
            continue
        options = Options(protocol="pytracking", attributes=False)
        (result,) = evaluate_trackers(videos, "first", {name: folder / name}, options)[0].trackers
        for video, value in zip(result.videos, result.per_video["success"], strict=True):
            row = {"start": "peers", "setting": name, "k": None, "seed": 0, "video": video}
            found.append(
                row | {"score": round(float(value), 5), "first": round(float(value), 5), "commit": "", "config": ""}
            )
    return found


def track(make: Callable[[], Any], videos: VideoSet, folder: Path) -> None:
    """Write `x,y,w,h` a line for each video without a result."""
    folder.mkdir(parents=True, exist_ok=True)
    for video in progress(list(videos), folder.name, console=Console(stderr=True)):
        if (folder / f"{video.name}.txt").exists():
            continue
        boxes = [video.boxes[0].astype(float)]
        cv2.setRNGSeed(0)  # MIL draws at random
        tracker = make()
        tracker.init(cv2.imread(video.frames.path(0)), tuple(round(x) for x in boxes[0].tolist()))
        for frame in range(1, len(video)):
            seen, box = tracker.update(cv2.imread(video.frames.path(frame)))
            boxes.append(np.array(box, float) if seen else boxes[-1])
        np.savetxt(folder / f"{video.name}.txt", boxes, fmt="%.2f", delimiter=",")
