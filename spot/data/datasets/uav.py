"""UAV123 and UAV20L, as downloaded.

<root>/data_seq/UAV123/<folder>/000001.jpg ...
<root>/anno/UAV123/<video>.txt       x,y,w,h a line, NaN where the target is not annotated
<root>/anno/UAV123/att/<video>.txt   optional: 12 flags
<root>/anno/UAV20L/..., att/...      likewise, over the same folders of frames
"""

from __future__ import annotations

from spot.data.annotation_cache import Source
from spot.data.datasets import pysot
from spot.data.folders import locate, names_in, need_root
from spot.data.reading import add_attributes, read_boxes, read_videos
from spot.data.video import Frames, VideoSet
from spot.runtime.errors import SpotError

ATTRIBUTES = (
    "Scale Variation",
    "Aspect Ratio Change",
    "Low Resolution",
    "Fast Motion",
    "Full Occlusion",
    "Partial Occlusion",
    "Out-of-View",
    "Background Clutter",
    "Illumination Variation",
    "Viewpoint Change",
    "Camera Motion",
    "Similar Object",
)
VERSIONS = ("UAV123", "UAV20L")

# Long recordings that UAV123 cuts: the number of the first frame of `<folder>_1`, `<folder>_2`, ...
_FIRST_FRAMES = {
    "bird1": (1, 775, 1573),
    "car1": (1, 751, 1627),
    "car6": (1, 487, 1807, 2953, 3925),
    "car8": (1, 1357),
    "car16": (1, 415),
    "group1": (1, 1333, 2515, 3925),
    "group2": (1, 907, 1771),
    "group3": (1, 1567, 2827, 4369),
    "person2": (1, 1189),
    "person4": (1, 1501),
    "person5": (1, 877),
    "person7": (1, 1249),
    "person8": (1, 1075),
    "person12": (1, 601),
    "person14": (1, 847, 1813),
    "person17": (1, 1501),
    "person19": (1, 1243, 2791),
    "truck4": (1, 577),
    "uav1": (1, 1555, 2473),
}


def load(
    root: str | None,
    version: str = "UAV123",
    annotations: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open UAV123 (123 videos) or UAV20L (20 long ones).

    Args:
        root: the folder that holds `anno` and `data_seq`.
        version: UAV123 or UAV20L.
        annotations: read the videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data; an unknown version.
    """
    root = need_root(root, "uav", "UAV_ROOT")
    if version not in VERSIONS:
        raise SpotError(f"version={version} of UAV is unknown; choose from: {', '.join(VERSIONS)}")
    if annotations:
        return pysot.load(version, root, annotations, ("", "data_seq/UAV123/"))
    folder = f"{root}/anno/{version}"

    def find() -> tuple[list[Source], list[str]]:
        names = [n.removesuffix(".txt") for n in names_in(folder) if n.endswith(".txt")]
        if not names:
            raise SpotError(f"{folder}: no annotations; expected <video>.txt")
        return [_source(root, version, name) for name in names], [folder]

    videos = read_videos(version, "test", root, find, read_boxes, cache, broken)
    return add_attributes(videos, ATTRIBUTES, lambda name: f"{folder}/att/{name}.txt")


def _source(root: str, version: str, name: str) -> Source:
    folder, _, part = name.rpartition("_")
    starts = _FIRST_FRAMES.get(folder, ()) if version == "UAV123" and part.isdecimal() else ()
    if starts and not 1 <= int(part) <= len(starts):
        raise SpotError(f"{root}/anno/{version}/{name}.txt: {version} has no part {part} of {folder}; remove the file")
    home = locate(root, f"data_seq/UAV123/{folder if starts else name}")
    first = starts[int(part) - 1] if starts else 1
    return Source(name, Frames(home, 0, "{:06d}.jpg", first), (f"{root}/anno/{version}/{name}.txt",))
