"""NanoTrack here and in OpenCV: frames a second of CPU time on one core, and overlap from the first frame alone.

    python scripts/bench/bench_nanotrack.py --weights FOLDER --videos FOLDER [--overlap]

`--weights` holds nanotrackv{1,2}_nanotrack_{backbone,head}_sim.onnx; `--videos` holds sequences in the GOT-10k layout.
The defaults are under $SPOT_SHARED. Frames are decoded before the clock starts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from spot.architectures.nanotrack.network import NanoTrack
from spot.architectures.nanotrack.opencv_rule import OpenCVTracker
from spot.architectures.nanotrack.published import from_onnx
from spot.architectures.nanotrack.tracker import NanoTracker
from spot.data.boxes import box_iou
from spot.data.datasets import folder
from spot.data.images import read_frame
from spot.data.video import Video
from spot.tracking.backends import with_backend
from spot.tracking.runner import Runner

SHARED = Path(os.environ.get("SPOT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
SPEED_VIDEOS, SPEED_FRAMES = 8, 40
RULES = {
    1: {"context": 0.5, "window": 0.462, "penalty": 0.148, "learning_rate": 0.39},
    2: {"context": 0.5, "window": 0.49, "penalty": 0.15, "learning_rate": 0.385},
}
OPENCV = {"context": 0.5, "window": 0.455, "penalty": 0.055, "learning_rate": 0.37}

Clip = tuple[list[np.ndarray], np.ndarray]  # RGB frames, first box


def onnx_files(weights: Path, version: int) -> list[Path]:
    return [weights / f"nanotrackv{version}_nanotrack_{part}_sim.onnx" for part in ("backbone", "head")]


def opencv_tracks(clip: Clip, files: list[Path]) -> tuple[np.ndarray, float]:
    """Boxes of all frames, and CPU seconds without the first frame."""
    frames, box = clip
    parameters = cv2.TrackerNano.Params()
    parameters.backbone, parameters.neckhead = map(str, files)
    tracker = cv2.TrackerNano.create(parameters)
    images = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    tracker.init(images[0], [round(float(x)) for x in box])
    begin = time.process_time()
    boxes = [tracker.update(image)[1] for image in images[1:]]
    return np.array([box, *boxes], np.float64), time.process_time() - begin


def lock_step_rate(tracker: NanoTracker, clips: list[Clip]) -> float:
    """Frames a second of CPU time, all clips together."""
    state = tracker.start([frames[0] for frames, _ in clips], np.stack([box for _, box in clips]))
    begin = time.process_time()
    for t in range(1, SPEED_FRAMES):
        state, _, _ = tracker.step(state, [frames[t] for frames, _ in clips])
    return (SPEED_FRAMES - 1) * len(clips) / (time.process_time() - begin)


def best(rate: Callable[[], float]) -> float:
    return max(rate() for _ in range(3))


def speed(version: int, network: NanoTrack, files: list[Path], clips: list[Clip]) -> None:
    frames = (SPEED_FRAMES - 1) * len(clips)
    theirs = best(lambda: frames / sum(opencv_tracks(clip, files)[1] for clip in clips))
    print(f"v{version} cv2.TrackerNano: {theirs:.0f} frames/s")
    for backend in ("openvino", "onnxruntime", "torch"):
        tracker = NanoTracker(with_backend(network, backend), **RULES[version])
        alone = best(lambda tracker=tracker: float(np.mean([lock_step_rate(tracker, [clip]) for clip in clips])))
        together = best(lambda tracker=tracker: lock_step_rate(tracker, clips))
        print(
            f"v{version} {backend}: {alone:.0f} frames/s ({alone / theirs:.2f}x), eight in lock-step {together:.0f} "
            f"({together / theirs:.2f}x)"
        )


def overlap(version: int, network: NanoTrack, files: list[Path], videos: list[Video]) -> None:
    """Mean over videos of the mean IoU over visible frames."""
    compiled = with_backend(network)
    found: dict[str, list[float]] = {}
    for name, tracker in (
        ("published rule", NanoTracker(compiled, **RULES[version])),
        ("OpenCV's rule", OpenCVTracker(compiled, **OPENCV)),
    ):
        for video, track in Runner(tracker, batch=8).run(videos):
            found.setdefault(name, []).append(mean_iou(video, track.boxes))
    for video in videos:
        frames = [read_frame(video.frames.path(i)).pixels for i in range(len(video))]
        found.setdefault("cv2.TrackerNano", []).append(
            mean_iou(video, opencv_tracks((frames, video.boxes[0]), files)[0])
        )
    for name, values in found.items():
        print(f"v{version} {name}: {np.mean(values):.4f} over {len(values)} videos")


def mean_iou(video: Video, boxes: np.ndarray) -> float:
    return float(box_iou(boxes, video.boxes.astype(np.float64))[video.visible].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=SHARED / "peers" / "nanotrack")
    parser.add_argument("--videos", type=Path, default=SHARED / "data" / "real" / "test")
    parser.add_argument("--overlap", action="store_true", help="overlap over all videos instead of speed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    videos = list(folder.load(str(options.videos)))
    for version in (1, 2):
        files = onnx_files(options.weights, version)
        network = NanoTrack(version).eval()
        network.load_state_dict(from_onnx(files, network), strict=False)
        if options.overlap:
            overlap(version, network, files, videos)
            continue
        long = [video for video in videos if len(video) >= SPEED_FRAMES][:SPEED_VIDEOS]
        clips = [
            ([read_frame(v.frames.path(i)).pixels for i in range(SPEED_FRAMES)], v.boxes[0].astype(np.float64))
            for v in long
        ]
        speed(version, network, files, clips)


if __name__ == "__main__":
    main()
