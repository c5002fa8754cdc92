"""Cache of parsed annotations on disk, opened as memory maps.

Each set has a folder with one cache entry, whose name is a digest of its sources. An entry has the flat arrays
`boxes.npy` and `visible.npy`, and `index.json` with the places of the frames, and size and time of change of every file
that was read. It is written atomically and never changed, so any number of processes may use it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from spot.data.annotations import Annotation
from spot.data.folders import Stamp, stamp
from spot.data.video import Frames, VideoSet, offsets_of, open_rows
from spot.runtime.atomic_files import remove_partial, whole_folder
from spot.runtime.errors import SpotError

FORMAT = 3  # increase when the same files are read differently


@dataclass(frozen=True, eq=False)
class Source:
    """The files of one video.

    Attributes:
        name: name of the video.
        frames: its frames; count 0 if only the number of annotated rows tells it.
        files: the annotation files in the order of the reader; optional ones may be missing.
    """

    name: str
    frames: Frames
    files: tuple[str, ...]


def cache_folder(cache: str, name: str, split: str, identity: str) -> Path:
    """Return the cache folder of a set; `identity` tells it from others of the same name and split."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return Path(cache).expanduser() / f"{name}_{split}_{digest}".replace("/", "-")


class CacheEntry:
    """A saved set of videos."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _collector_paused():
            index = json.loads((folder / "index.json").read_text())
            self.stamps: dict[str, Stamp] = {path: tuple(values) for path, *values in index["stamps"]}
            self.sources = [
                Source(name, Frames(where, count, pattern, first, names and np.array(names)), tuple(files))
                for name, where, count, pattern, first, names, files in index["sources"]
            ]
        self.boxes, self.visible = open_rows(str(folder))

    @classmethod
    def find(cls, place: Path) -> CacheEntry | None:
        """Open the entry in a cache folder; None if there is none of this version. Damaged entries are removed."""
        for folder in sorted(place.glob(f"{FORMAT}-*")):
            try:
                return cls(folder)
            except (OSError, EOFError, ValueError, KeyError):
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def is_fresh(self) -> bool:
        """Return whether none of its sources has changed."""
        return all(stamp(path) == was for path, was in self.stamps.items())

    def unchanged(self, sources: Sequence[Source], stamps: dict[str, Stamp]) -> dict[str, Annotation]:
        """Return views of the rows of those of these sources, by name, that still have the same files and frames."""
        wanted = {source.name: source for source in sources}
        bounds = offsets_of([len(s.frames) for s in self.sources]).tolist()
        return {
            old.name: Annotation(self.boxes[first:last], self.visible[first:last])
            for old, (first, last) in zip(self.sources, pairwise(bounds), strict=True)
            if (new := wanted.get(old.name)) is not None
            and new.files == old.files
            and len(new.frames) in (0, len(old.frames))
            and all(stamps[file] == self.stamps[file] for file in old.files)
        }

    def videos(self, name: str, split: str) -> VideoSet:
        """Return the set, whose arrays are memory maps."""
        return video_set(name, split, self.sources, self.boxes, self.visible, str(self.folder))


def save(
    place: Path,
    sources: Sequence[Source],
    stamps: dict[str, Stamp],
    boxes: np.ndarray,
    visible: np.ndarray,
) -> CacheEntry:
    """Write the entry of a set and remove older ones.

    Args:
        place: cache folder of the set.
        sources: the videos, with their frame counts.
        stamps: results of `spot.data.folders.stamp`, made before reading, for all files and folders that the set
            depends on.
        boxes, visible: rows of all sources, as in `VideoSet`.

    Raises:
        SpotError: the folder cannot be written.
    """
    index = json.dumps(
        {
            "stamps": [(path, *values) for path, values in stamps.items()],
            "sources": [_row(source) for source in sources],
        },
        ensure_ascii=False,
    )
    target = place / f"{FORMAT}-{hashlib.sha256(index.encode()).hexdigest()[:16]}"
    try:
        try:
            with whole_folder(target) as partial:
                np.save(partial / "boxes.npy", boxes)
                np.save(partial / "visible.npy", visible)
                (partial / "index.json").write_text(index, encoding="utf-8")
        except OSError:
            if not target.is_dir():  # else another process has written the same entry
                raise
        remove_partial(place, seconds=3600)
        for old in set(place.glob("[0-9]*-*")) - {target}:
            shutil.rmtree(old, ignore_errors=True)
        return CacheEntry(target)
    except OSError as error:
        raise SpotError(
            f"{error.filename or place}: {error.strerror}; set paths.cache to a folder that can be written"
        ) from None


def video_set(
    name: str, split: str, sources: Sequence[Source], boxes: np.ndarray, visible: np.ndarray, store: str | None = None
) -> VideoSet:
    """Return the videos of these sources; `boxes`, `visible` and `store` as in `VideoSet`."""
    videos = VideoSet(
        name, [s.name for s in sources], [s.frames for s in sources], boxes, visible, split=split, store=store
    )
    videos.annotations = [s.files[0] for s in sources]
    return videos


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause garbage collection while many lasting objects are made: it would visit all of them again and again."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _row(source: Source) -> tuple:
    frames = source.frames
    names = None if frames.names is None else [str(n) for n in frames.names]
    return source.name, frames.folder, frames.count, frames.pattern, frames.first, names, source.files
