"""Training instances per second and core, beside the published way of making them, and augmentation likewise.

    python scripts/bench/bench_data.py [--quick] [--json FILE]

The plain baseline decodes every frame whole with OpenCV, averages it with NumPy, pads the whole frame and resizes; it
makes the very same instances, and its crops are checked to equal those of decode=exact. Each ratio is the median over
repeats of CPU time, all variants measured in turn in one run. Target sizes follow LaSOT's annotation: log-normal, with
a median of an eighth of the frame's root area.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import simplejpeg
import torch

from spot.data.augmentation import photometric, rotate_flip
from spot.data.crops import crop_side
from spot.data.images import Frame
from spot.data.instances import AugmentSettings, CropSettings
from spot.data.key_frames import KeyFrames, LabelledTarget
from spot.data.pairs import LabelledDataset, UnlabelledDataset
from spot.data.targets import Targets
from spot.data.video import Frames, Video, VideoSet
from spot.state.store import PseudoLabels, StateStore

TRANST = CropSettings(128, 256, template_factor=2, search_factor=4, center_jitter=3, scale_jitter=0.25)
AUGMENT = AugmentSettings()
LOG_SIDE, SPREAD_BETWEEN, SPREAD_WITHIN, SPREAD_ASPECT = math.log(0.131), 0.93, 0.33, 0.57
PIXELS = ("template", "search", "key", "teacher_search", "relay", "student_search")


def render(folder: Path, height: int, videos: int, frames: int, seed: int = 0) -> VideoSet:
    """Write 16:9 JPEG videos, quality 90: noise with the spectrum of photographs that pans, and a target on it."""
    width = height * 16 // 9
    rng = np.random.default_rng(seed)
    made = []
    for v in range(videos):
        (folder / str(v)).mkdir(parents=True)
        scene, skin = _texture(rng, height + frames * 2, width + frames * 2), _texture(rng, height, width)
        log_side = LOG_SIDE + rng.normal(0, SPREAD_BETWEEN) + rng.normal(0, SPREAD_WITHIN, frames)
        side = np.exp(log_side) * math.sqrt(width * height)
        stretch = math.exp(rng.normal(0, SPREAD_ASPECT / 2))
        sizes = np.stack([(side * stretch).clip(8, 0.9 * width), (side / stretch).clip(8, 0.9 * height)], 1).astype(int)
        corners = (rng.random((frames, 2)) * ([width, height] - sizes)).astype(int)
        for i, ((w, h), (x, y)) in enumerate(zip(sizes.tolist(), corners.tolist(), strict=True)):
            pixels = scene[i * 2 : i * 2 + height, i * 2 : i * 2 + width].copy()
            pixels[y : y + h, x : x + w] = skin[:h, :w]
            data = simplejpeg.encode_jpeg(pixels, quality=90, colorsubsampling="420")
            (folder / str(v) / f"{i + 1:08d}.jpg").write_bytes(data)
        boxes = np.concatenate([corners, sizes], 1).astype(np.float32)
        made.append(Video(str(v), Frames(str(folder / str(v)), frames), boxes, np.ones(frames, bool)))
    return VideoSet.from_videos("bench", made)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    total = np.zeros((height, width, 3), np.float32)
    for scale in (1, 2, 4, 8, 16, 32, 64, 128):
        layer = rng.random((height // scale + 2, width // scale + 2, 3), np.float32)
        total += cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR) * scale**0.6
    return cv2.normalize(total, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


class Published:
    """Overrides what is measured with the plain way of doing it; the draws stay the same."""

    crops: CropSettings

    def read(self, path: str, wanted: list[tuple[np.ndarray, float, int]]) -> Frame:
        """Every template loads its frame anew; the two search crops of an unlabelled frame share one."""
        templates = sum(factor == self.crops.template_factor for _, factor, _ in wanted)
        for _ in range(templates + (templates < len(wanted))):
            pixels = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            mean = np.mean(pixels, (0, 1))
        return Frame(pixels, pixels.shape[1], pixels.shape[0], mean)

    def template(self, frame: Frame, box: np.ndarray) -> np.ndarray:
        return plain_crop(frame, box, self.crops.template_factor, self.crops.template_size)[0].transpose(2, 0, 1)

    def search(self, frame: Frame, box: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels, geometry = plain_crop(frame, around, self.crops.search_factor, self.crops.search_size)
        return pixels.transpose(2, 0, 1), geometry


class PublishedLabelled(Published, LabelledDataset):
    """Labelled pairs the plain way."""


class PublishedUnlabelled(Published, UnlabelledDataset):
    """Unlabelled instances the plain way."""


def plain_crop(frame: Frame, box: np.ndarray, factor: float, out: int) -> tuple[np.ndarray, np.ndarray]:
    """docs/method.md section 3 word for word: pad the whole frame where the square leaves it, slice, resize."""
    center = np.asarray(box[:2], np.float64) + np.asarray(box[2:], np.float64) / 2
    side = int(crop_side(box, factor))
    left, top = np.floor(center - (side + 1) / 2 + 0.5).astype(int)
    height, width = frame.pixels.shape[:2]
    before_x, before_y = max(0, -left), max(0, -top)
    after_x, after_y = max(0, left + side - width), max(0, top + side - height)
    pixels = frame.pixels
    if before_x or before_y or after_x or after_y:
        pixels = np.empty((before_y + height + after_y, before_x + width + after_x, 3), np.uint8)
        pixels[:] = frame.mean
        pixels[before_y : before_y + height, before_x : before_x + width] = frame.pixels
    square = pixels[top + before_y : top + before_y + side, left + before_x : left + before_x + side]
    return cv2.resize(square, (out, out)), np.array([*center, out / side], np.float32)


def half_explored(targets: Targets, folder: Path) -> StateStore:
    """Return a sampler state in which every second frame is explored, with its true box."""
    keys = [targets.keys(path) for path in range(len(targets))]
    lengths = targets.lengths
    path = np.repeat(np.arange(len(targets)), (lengths + 1) // 2)
    frame = np.concatenate([np.arange(0, n, 2) for n in lengths])
    explored = PseudoLabels(path, frame, targets.annotated_boxes(path, frame), np.full(len(path), 0.9, np.float32))
    ids, boxes = [k[0] for k in keys], [k[1] for k in keys]
    return StateStore.create(folder, targets.names, lengths, ids, boxes, explored)


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def bench_instances(folder: Path, height: int, quick: bool) -> dict[str, float]:
    """Ratios to the baseline, keys labelled_fast, labelled_exact, unlabelled_fast, unlabelled_exact."""
    videos = render(folder / "frames", height, *((8, 16) if quick else (40, 60)))
    rng = np.random.default_rng(1)
    labels = {}
    for video in videos:
        ids = np.sort(rng.choice(len(video), 3, replace=False))
        labels[video.name] = (LabelledTarget(ids, video.boxes[ids]),)
    targets = Targets([videos], [KeyFrames({}, [], labels)])
    store = half_explored(targets, folder / "state")
    result = {}
    for kind, ours, plain in (
        ("labelled", LabelledDataset, PublishedLabelled),
        ("unlabelled", UnlabelledDataset, PublishedUnlabelled),
    ):
        given = (targets, TRANST, AUGMENT, 0) if kind == "labelled" else (targets, store, TRANST, AUGMENT, 0)
        variants = {"plain": plain(*given), "exact": ours(*given, "exact"), "fast": ours(*given, "fast")}
        compare(variants)
        result |= measure(f"{kind} {height}p", kind, variants, repeats=5 if quick else 15, count=10 if quick else 20)
    return result


def compare(variants: dict, count: int = 12) -> None:
    """Exact instances equal the plain ones to the bit; print how far fast ones are off."""
    squares = []
    for index in range(count):
        plain, exact, fast = (variants[name][0, index][0] for name in ("plain", "exact", "fast"))
        for key, value in plain.items():
            np.testing.assert_array_equal(exact[key], value, err_msg=key)
        squares += [np.mean((fast[k] - exact[k].astype(float)) ** 2) for k in PIXELS if k in plain]
    off = np.sqrt(squares)
    print(f"fast crops: {np.mean(off == 0):.0%} equal; root mean square of the others {off[off > 0].mean():.1f} levels")


def measure(title: str, kind: str, variants: dict, repeats: int, count: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(repeats):
        for name, dataset in variants.items():
            seconds[name].append(cpu_seconds(lambda d=dataset, r=repeat: [d[r, i] for i in range(count)]) / count)
    ratios = {n: median(p / s for p, s in zip(seconds["plain"], seconds[n], strict=True)) for n in ("exact", "fast")}
    for name, values in seconds.items():
        ratio = f"{ratios[name]:6.2f} x" if name in ratios else ""
        print(f"{title:16} {name:6} {1 / median(values):8.1f} instances/s/core {ratio}")
    return {f"{kind}_{name}": ratio for name, ratio in ratios.items()}


def bench_augment(quick: bool, batch: int = 24, size: int = 256) -> float:
    """Milliseconds of CPU for the student's search crops of a step: brightness, grey-scale, flip, rotation."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8)
    boxes = torch.rand(batch, 4, generator=generator) * 100
    angle = torch.randint(-10, 11, (batch,), generator=generator).float()
    flip, grey = torch.rand(2, batch, generator=generator) < torch.tensor([[0.35], [0.05]])
    brightness = torch.rand(batch, generator=generator) * 0.4 + 0.8
    fill = torch.full((batch, 3), 118, dtype=torch.uint8)

    def augment() -> None:
        warped, _ = rotate_flip(images, boxes, angle, flip, fill)
        photometric(warped, brightness, grey)

    augment()  # the first call is slower
    milliseconds = 1000 * median(cpu_seconds(augment) for _ in range(5 if quick else 15))
    print(f"augment {batch} x {size} px: {milliseconds:.0f} ms")
    return milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer frames and repeats, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the ratios there")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    result = {}
    for height, suffix in ((720, ""), (360, "_360p")):
        with tempfile.TemporaryDirectory() as folder:
            ratios = bench_instances(Path(folder), height, arguments.quick)
            result |= {name + suffix: ratio for name, ratio in ratios.items()}
    result["augment_ms"] = bench_augment(arguments.quick)
    if arguments.json:
        arguments.json.write_text(json.dumps({name: round(ratio, 3) for name, ratio in result.items()}, indent=1))


if __name__ == "__main__":
    main()
