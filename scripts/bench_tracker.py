"""Trackers beside the published way of tracking, and videos in lock-step beside one after the other.

    python scripts/bench_tracker.py [--quick] [--json FILE]

Synthetic videos of 640 x 360 pixels and random weights: the time of a frame does not depend on either. Frames are
taken in turn by all variants; first boxes are checked to agree with those of the plain way. A single stream is
compared by CPU time on one thread, lock-step by the wall clock on two; ratios are the medians of those of each turn.
Where ONNX Runtime is installed, the same search network is run by it too (`onnx_*`: times faster than ours).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench_data import render
from bench_step import build, timed
from plain_tracker import PlainOceanTracker, PlainTransTTracker

from spot.data.images import read_frame
from spot.models.export import export_onnx, onnx_files
from spot.models.prediction import TrackerNetwork
from spot.tracking.benchmark import quickened
from spot.tracking.ocean import OceanTracker
from spot.tracking.transt import TransTTracker

WAYS = {"transt": (TransTTracker, PlainTransTTracker), "ocean": (OceanTracker, PlainOceanTracker)}
STREAMS = 8


def videos(folder: Path, frames: int) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Frames of each video, and the first boxes."""
    made = render(folder, 360, STREAMS, frames)
    return [[read_frame(v.frames.path(i)).pixels for i in range(frames)] for v in made], np.stack(
        [v.boxes[0].astype(np.float64) for v in made]
    )


def bench_single(arch: str, network: TrackerNetwork, frames: list[np.ndarray], box: np.ndarray) -> dict[str, float]:
    """CPU milliseconds of a frame, plain and ours, in turn, and their ratio."""
    make, make_plain = WAYS[arch]
    plain, tracker = make_plain(network), make(quickened(network))
    plain.start(frames[0], box)
    state = tracker.start(frames[:1], box[None])
    found: dict[str, np.ndarray] = {}

    def ours(frame: np.ndarray) -> None:
        nonlocal state
        state, boxes, _ = tracker.step(state, [frame])
        found["ours"] = boxes[0]

    def theirs(frame: np.ndarray) -> None:
        found["plain"] = plain.step(frame)

    def halved(frame: np.ndarray) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            tracker.step(state, [frame])

    times: dict[str, list[float]] = {"plain": [], "bf16": [], "ours": []}
    for frame in frames[1:]:
        for name, way in (("plain", theirs), ("bf16", halved), ("ours", ours)):
            times[name].append(timed(lambda way=way, frame=frame: way(frame))[0] * 1e3)
        np.testing.assert_allclose(found["ours"], found["plain"], atol=0.05)
    ratio, bf16 = (median(p / o for p, o in zip(times["plain"], times[name], strict=True)) for name in ("ours", "bf16"))
    print(
        f"{arch}: plain {median(times['plain']):.0f} ms, ours {median(times['ours']):.0f} ms a frame {ratio:6.2f} x, "
        f"with bf16 {bf16:.2f} x"
    )
    figures = {f"tracker_{arch}": ratio, f"tracker_{arch}_bf16": bf16}
    return figures | {f"tracker_{arch}_{name}_ms": median(ms) for name, ms in times.items()}


def bench_lockstep(
    arch: str, network: TrackerNetwork, clips: list[list[np.ndarray]], boxes: np.ndarray, turns: int
) -> dict[str, float]:
    """Seconds for a frame of each of several videos, one by one and in one pass."""
    tracker = WAYS[arch][0](quickened(network))
    together = tracker.start([clip[0] for clip in clips], boxes)
    alone = [tracker.start([clip[0]], box[None]) for clip, box in zip(clips, boxes, strict=True)]
    second = [clip[1] for clip in clips]

    def one_by_one() -> None:
        for state, frame in zip(alone, second, strict=True):
            tracker.step(state, [frame])

    turns_taken = [(timed(one_by_one), timed(lambda: tracker.step(together, second))) for _ in range(turns)]
    wall = median(a[1] / b[1] for a, b in turns_taken)
    cpu = median(a[0] / b[0] for a, b in turns_taken)
    print(f"{arch}: {len(clips)} videos in lock-step {wall:6.2f} x (wall), {cpu:.2f} x (CPU)")
    return {f"lockstep_{arch}": wall, f"lockstep_{arch}_cpu": cpu}


def bench_onnx(arch: str, network: TrackerNetwork, turns: int) -> dict[str, float]:
    """The search network by ONNX Runtime against ours, one crop, one thread."""
    import onnxruntime

    tracked = quickened(network)
    size, template = network.search_size, network.template_size
    search, first = torch.rand(1, 3, size, size), torch.rand(1, 3, template, template)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        export_onnx(network.eval(), Path(folder) / f"{arch}.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        file = onnx_files(Path(folder) / f"{arch}.onnx")[1]
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        code = tracked.encode_template(first)
        given = dict(zip((i.name for i in session.get_inputs()), (search, *code), strict=True))
        arrays = {name: tensor.numpy() for name, tensor in given.items()}
        ways: list[Callable[[], object]] = [lambda: tracked.predict(code, search), lambda: session.run(None, arrays)]
        times = [[timed(way)[0] for way in ways] for _ in range(turns)]
    ratio = median(ours / onnx for ours, onnx in times)
    print(f"{arch}: ONNX Runtime {ratio:6.2f} x as fast as ours")
    return {f"onnx_{arch}": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="three frames, three videos and one turn of lock-step; no ONNX"
    )
    parser.add_argument("--arch", default="transt,ocean", help="which architectures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat object")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    archs = options.arch.split(",")
    with tempfile.TemporaryDirectory() as folder:
        clips, boxes = videos(Path(folder), 4 if options.quick else 12)
    for arch in archs:
        torch.set_num_threads(1)
        network = build(arch).student.eval()
        figures |= bench_single(arch, network, clips[0], boxes[0])
        if find_spec("onnxruntime") and not options.quick:
            figures |= bench_onnx(arch, network, 9)
        torch.set_num_threads(2)
        streams = 3 if options.quick else STREAMS
        figures |= bench_lockstep(arch, network, clips[:streams], boxes[:streams], 1 if options.quick else 5)
    figures["lockstep"] = max(figures[f"lockstep_{arch}"] for arch in archs)
    if options.json:
        options.json.write_text(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
