"""Videos and sets of videos: the interface between the data sets and the rest of the project.

The annotations of a whole set are flat arrays with one row for each frame of all videos. So a set of 30,000 videos
needs a few memory maps and not millions of Python objects. A `Video` is a view of one slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from spot.data.box_table import BoxTable
from spot.runtime.errors import SpotError


@dataclass(frozen=True, eq=False)
class Frames:
    """The frame files of one video.

    `folder` is a directory, or a place inside an archive written `/data/airplane.zip!/airplane-1/img`. Frame
    `i` (0-based) is `folder/pattern.format(first + i)`, or `folder/names[i]` if the names follow no
    pattern; an array of strings saves a Python object per frame.
    """

    folder: str
    count: int
    pattern: str = "{:08d}.jpg"
    first: int = 1
    names: Sequence[str] | np.ndarray | None = None

    def __len__(self) -> int:
        return self.count

    def path(self, index: int) -> str:
        """Return the path of frame `index` (0-based). Raises IndexError outside the video."""
        return f"{self.folder}/{self.name(index)}"

    def name(self, index: int) -> str:
        """Return the file name of frame `index` (0-based). Raises IndexError outside the video."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.folder}: frame {index} of {self.count}")
        return self.pattern.format(self.first + index) if self.names is None else str(self.names[index])

    def part(self, indices: Sequence[int]) -> Frames:
        """Return these frames in this order, as the frames of a video of their own."""
        return Frames(self.folder, len(indices), names=[self.name(index) for index in indices])


@dataclass(frozen=True, eq=False)
class Video:
    """One annotated sequence with one target.

    Attributes:
        name: unique within its set; training sets use the form of docs/formats.md (`LaSOT_airplane-10`), benchmarks
            the official name.
        frames: its n frames.
        boxes: (n, 4) float32, xywh in pixels of the full frame, 0-based top-left corner. Rows of absent
            frames have the data set's numbers (usually zeros): check `visible` first. Rows without annotation
            (test servers, sparse annotation) are NaN.
        visible: (n,) bool, the target can be seen and labelled in this frame.
        attributes: the benchmark's attribute names that hold for this video.
        polygons: (n, 8) float32 corner points x1,y1..x4,y4 for VOT benchmarks, else None.
        annotation: the file whose row i is the box of frame i, counted from row 1; "" where there is none.
        frame_tags: benchmark-specific per-frame attribute flags, name -> (n,) bool.
    """

    name: str
    frames: Frames
    boxes: np.ndarray
    visible: np.ndarray
    attributes: tuple[str, ...] = ()
    polygons: np.ndarray | None = None
    frame_tags: dict[str, np.ndarray] = field(default_factory=dict)
    annotation: str = ""

    def __len__(self) -> int:
        return len(self.frames)


class VideoSet(Sequence[Video]):
    """An ordered set of videos over flat annotation arrays.

    Args:
        name: name of the data set (`GOT-10k`, `LaSOT`, ...).
        names: name of each of the V videos, unique.
        frames: frames of each video.
        boxes: (N, 4) float32 as in `Video`.
        visible: (N,) bool.
        extras: per-video keyword arguments for `Video` (attributes, polygons, frame_tags), if there are any.
        split: name of the split as key-frame files have it (`train`, `vottrain`, `0-3`), or "".
        store: folder that holds `boxes.npy` and `visible.npy`, of which the arrays are memory maps. A pickle
            then carries the folder's name and not the rows, so that every process shares one copy.

    Attributes:
        offsets: (V + 1,) int64; rows `offsets[v]:offsets[v + 1]` of the arrays belong to video v.
        human: tells for boxes (n, 4) which of them a human drew, (n,) bool; None: all of them.
        parts: the splits that make up this one, if key-frame files may belong to them (TrackingNet: `0`, `1`, ...).
        annotations: the file of each video's boxes (`Video.annotation`); empty where there are none.
        own_labels: the boxes that the user has drawn, of all targets; None for a data set with its own annotation.
        extracted: folder of the manifests and extracted frames of the user's videos (`spot.data.datasets.videos`).
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        frames: Sequence[Frames],
        boxes: np.ndarray,
        visible: np.ndarray,
        extras: dict[str, dict] | None = None,
        split: str = "",
        store: str | None = None,
    ) -> None:
        self.human: Callable[[np.ndarray], np.ndarray] | None = None
        self.parts: list[str] = []
        self.annotations: list[str] = []
        self.own_labels: BoxTable | None = None
        self.extracted: str | None = None
        self.name = name
        self.split = split
        self.store = store
        self.names = list(names)
        self.frames = list(frames)
        self.offsets = offsets_of([len(each) for each in self.frames])
        self.boxes = boxes
        self.visible = visible
        self.extras = extras or {}
        self._index = {n: i for i, n in enumerate(self.names)}
        if len(self._index) != len(self.names):
            twice = next(n for i, n in enumerate(self.names) if self._index[n] != i)
            raise SpotError(f"{name}: video {twice} appears twice; remove one")

    @classmethod
    def from_videos(cls, name: str, videos: Iterable[Video], split: str = "") -> VideoSet:
        """Concatenate the annotations of single videos."""
        videos = list(videos)
        extras = {
            v.name: {"attributes": v.attributes, "polygons": v.polygons, "frame_tags": v.frame_tags}
            for v in videos
            if v.attributes or v.polygons is not None or v.frame_tags
        }
        joined = cls(
            name,
            [v.name for v in videos],
            [v.frames for v in videos],
            np.concatenate([v.boxes for v in videos]) if videos else np.zeros((0, 4), np.float32),
            np.concatenate([v.visible for v in videos]) if videos else np.zeros(0, bool),
            extras,
            split,
        )
        joined.annotations = [v.annotation for v in videos] if any(v.annotation for v in videos) else []
        return joined

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        if self.store is not None:
            del state["boxes"], state["visible"]
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if self.store is not None:
            self.boxes, self.visible = open_rows(self.store)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, key: int | str) -> Video: ...
    @overload
    def __getitem__(self, key: slice) -> VideoSet: ...
    def __getitem__(self, key: int | str | slice) -> Video | VideoSet:
        if isinstance(key, slice):
            return self.subset(self.names[key])
        i = self.index_of(key) if isinstance(key, str) else range(len(self))[key]
        rows = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        name = self.names[i]
        file = self.annotations[i] if self.annotations else ""
        extras = self.extras.get(name, {})
        return Video(name, self.frames[i], self.boxes[rows], self.visible[rows], annotation=file, **extras)

    def __iter__(self) -> Iterator[Video]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._index

    @property
    def lengths(self) -> np.ndarray:
        """(V,) int64, frames of each video."""
        return np.diff(self.offsets)

    def index_of(self, name: str) -> int:
        """Return position of the video of that name. Raise SpotError if there is none."""
        try:
            return self._index[name]
        except KeyError:
            raise SpotError(f"{self.name} has no video named {name}; it has {len(self)} videos") from None

    def subset(self, names: Sequence[str]) -> VideoSet:
        """Return the videos of these names, in this order."""
        chosen = VideoSet.from_videos(self.name, (self[n] for n in names), self.split)
        if self.own_labels is not None:
            chosen.own_labels = self.own_labels.take(np.isin(self.own_labels.video, list(names)))
        chosen.extracted, chosen.human = self.extracted, self.human
        return chosen


def offsets_of(lengths: Sequence[int]) -> np.ndarray:
    """Return (n + 1,) int64 bounds of n consecutive blocks of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def open_rows(store: str) -> tuple[np.ndarray, np.ndarray]:
    """Read-only memory maps of boxes (N, 4) float32 and visible (N,) bool that lie in the folder `store`."""
    boxes, visible = (np.load(f"{store}/{name}.npy", mmap_mode="r") for name in ("boxes", "visible"))
    # Plain views: slicing numpy's memmap class costs several times as much.
    return np.asarray(boxes), np.asarray(visible)
