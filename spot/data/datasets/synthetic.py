"""The embedded default: procedural videos, rendered once, read like any folder in the GOT-10k layout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
from rich.console import Console
from rich.progress import track

from spot.data.datasets import folder
from spot.data.datasets.rendering import Rendered, render_video
from spot.data.video import VideoSet
from spot.runtime.atomic_files import whole_folder
from spot.runtime.errors import SpotError

SPLITS = {"train": 0, "val": 1, "test": 2}
RENDERER = 2  # increase when the same seed renders other pixels
JPEG_QUALITY = 85
SETTINGS_FILE = "settings.json"


def load(
    root: str | Path,
    split: str,
    videos: int = 60,
    frames: int = 60,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Return the synthetic videos of a split; rendered on first use (about 5 ms a frame).

    Each choice of settings has its own folder under `root`, which is written atomically. Splits use different random
    numbers: their targets, textures and motions differ.

    Args:
        root: where the folders go (`paths.synthetic`).
        split: train, val or test.
        videos: number of videos; more videos begin with the same ones as fewer do.
        frames: frames of each video.
        size: width and height in pixels.
        seed: of everything that is drawn.
        cache: folder for parsed annotations; None parses them anew.
        broken: collects one line for each video that cannot be read instead of raising.

    Returns:
        Videos `Synthetic_<Split>_000001` and so on; the set's name tells the settings.

    Raises:
        SpotError: an unknown split, impossible numbers, or a folder that another version rendered.
    """
    width, height = (int(side) for side in size)
    if split not in SPLITS:
        raise SpotError(f"synthetic has no split {split}; choose from: {', '.join(SPLITS)}")
    if videos < 1 or frames < 2 or min(width, height) < 64:
        raise SpotError(
            "synthetic needs videos >= 1, frames >= 2 and sides >= 64 px, "
            f"not videos={videos}, frames={frames}, size={width}x{height}"
        )
    target = Path(root) / f"{split}_{videos}x{frames}_{width}x{height}_seed{seed}_v{RENDERER}"
    settings = {
        "renderer": RENDERER,
        "split": split,
        "videos": videos,
        "frames": frames,
        "size": [width, height],
        "seed": seed,
    }
    if not target.is_dir():
        _render(target, settings)
    _check(target, settings)
    name = (
        f"Synthetic-v{RENDERER}-{videos}x{frames}-{width}x{height}-{seed}"  # other settings are other videos to label
    )
    opened = folder.load(str(target), name=name, cache=cache, broken=broken)
    opened.split = split
    return opened


def _check(target: Path, settings: dict) -> None:
    try:
        found = json.loads((target / SETTINGS_FILE).read_text())
    except (OSError, json.JSONDecodeError):
        found = None
    if found != settings:
        raise SpotError(
            f"{target} was rendered by another version or with other settings; delete it to render it again"
        )


def _render(target: Path, settings: dict) -> None:
    """Write the folder of a split; of several processes, the first to finish wins."""
    names = [f"Synthetic_{settings['split'].title()}_{i + 1:06d}" for i in range(settings["videos"])]
    rendering = f"rendering {target.name}"
    try:
        with whole_folder(target) as scratch:
            for _ in track(_videos(scratch, names, settings), rendering, len(names), console=Console(stderr=True)):
                pass
            (scratch / "list.txt").write_text("".join(f"{name}\n" for name in names))
            (scratch / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        if not target.is_dir():  # else another process has written the same videos
            raise SpotError(
                f"cannot write the synthetic videos to {target}: {error.strerror}; set paths.synthetic"
            ) from error


def _videos(scratch: Path, names: list[str], settings: dict) -> Iterator[None]:
    """Render and write all videos; OpenCV and the JPEG encoder release the lock, so threads help."""

    def one(index: int) -> None:
        rng = np.random.default_rng([settings["seed"], SPLITS[settings["split"]], index])
        rendered = render_video(rng, settings["frames"], tuple(settings["size"]))
        _write(scratch / names[index], rendered)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        yield from threads.map(one, range(len(names)))


def _write(place: Path, rendered: Rendered) -> None:
    """Write one sequence in the GOT-10k layout."""
    place.mkdir()
    for i, image in enumerate(rendered.images, start=1):
        jpeg = simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
        (place / f"{i:08d}.jpg").write_bytes(jpeg)
    fraction = rendered.visible_fraction
    np.savetxt(place / "groundtruth.txt", rendered.boxes, fmt="%.3f", delimiter=",")
    np.savetxt(place / "absence.label", fraction == 0, fmt="%d")
    np.savetxt(place / "cover.label", _cover_level(fraction), fmt="%d")


def _cover_level(fraction: np.ndarray) -> np.ndarray:
    """GOT-10k's eight levels of visibility: 0 unseen, 1 up to 15 %, ... 6 up to 90 %, 8 whole."""
    whole = fraction > 0.99  # the rasterised area is exact to about half a per cent
    return np.where(whole, 8, np.minimum(np.ceil(fraction / 0.15), 7)).astype(np.int64)
