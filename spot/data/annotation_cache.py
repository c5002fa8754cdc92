"""Parsed annotations on disk, opened as memory maps.

A set has a shelf: a folder that holds one volume, named by a digest of what it was made from. A volume has
the flat arrays `boxes.npy` and `visible.npy`, and `index.json`: where the frames lie, and size and time of
change of every file that was read. It appears whole (written aside, then renamed) and is never changed, so
any number of processes may use it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spot.data.annotations import Annotation
from spot.data.folders import Stamp, stamp
from spot.data.video import Frames, VideoSet, open_rows
from spot.runtime.atomic_files import remove_partial, whole_folder
from spot.runtime.errors import SpotError

FORMAT = 2  # raise when the same files would be read differently


@dataclass(frozen=True, eq=False)
class Source:
    """Where one video lies.

    Attributes:
        name: of the video.
        frames: where its frames lie; count 0 where only the number of annotated rows tells it.
        files: the annotation files that its reader takes, in the reader's order; optional ones may be
            missing.
    """

    name: str
    frames: Frames
    files: tuple[str, ...]


def shelf_of(cache: str, name: str, split: str, identity: str) -> Path:
    """Return the shelf of a set; `identity` tells it from others of the same name and split."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return Path(cache).expanduser() / f"{name}_{split}_{digest}".replace("/", "-")


class Volume:
    """A saved set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _collector_paused():
            index = json.loads((folder / "index.json").read_text())
            self.stamps: dict[str, Stamp] = {path: tuple(values) for path, *values in index["stamps"]}
            self.sources = [
                Source(name, Frames(where, count, pattern, first, names and np.array(names)), tuple(files))
                for name, where, count, pattern, first, names, files in index["sources"]
            ]
        self.offsets = offsets_of([len(s.frames) for s in self.sources])
        self.boxes, self.visible = open_rows(str(folder))

    @classmethod
    def newest(cls, shelf: Path) -> Volume | None:
        """Return a cache entry; None if there is none of this version. Damaged entries are removed."""
        for folder in sorted(shelf.glob(f"{FORMAT}-*")):
            try:
                return cls(folder)
            except (OSError, EOFError, ValueError, KeyError):
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def is_fresh(self) -> bool:
        """Return whether all that it was made from is still as it was."""
        return all(stamp(path) == was for path, was in self.stamps.items())

    def unchanged(self) -> dict[str, tuple[Source, Annotation]]:
        """Return the videos whose annotation files are as they were: name -> source and views of its rows."""
        bounds = zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)
        return {
            source.name: (source, Annotation(self.boxes[first:last], self.visible[first:last]))
            for source, (first, last) in zip(self.sources, bounds, strict=True)
            if all(stamp(file) == self.stamps[file] for file in source.files)
        }

    def videos(self, name: str, split: str) -> VideoSet:
        """Return the set, over memory maps."""
        opened = VideoSet(
            name,
            [s.name for s in self.sources],
            [s.frames for s in self.sources],
            self.offsets,
            self.boxes,
            self.visible,
            split=split,
            store=str(self.folder),
        )
        opened.annotations = [s.files[0] for s in self.sources]
        return opened


def save(
    shelf: Path,
    sources: Sequence[Source],
    stamps: dict[str, Stamp],
    boxes: np.ndarray,
    visible: np.ndarray,
) -> Volume:
    """Put a set on its shelf and remove the volume that it replaces.

    Args:
        sources: with their frame counts.
        stamps: what `spot.data.folders.stamp` said, before reading, of all files and folders that the set
            depends on.
        boxes, visible: rows of all sources, as in `VideoSet`.

    Raises:
        SpotError: the shelf cannot be written.
    """
    index = json.dumps(
        {
            "stamps": [(path, *values) for path, values in stamps.items()],
            "sources": [_row(source) for source in sources],
        },
        ensure_ascii=False,
    )
    target = shelf / f"{FORMAT}-{hashlib.sha256(index.encode()).hexdigest()[:16]}"
    try:
        try:
            with whole_folder(target) as partial:
                np.save(partial / "boxes.npy", boxes)
                np.save(partial / "visible.npy", visible)
                (partial / "index.json").write_text(index, encoding="utf-8")
        except OSError:
            if not target.is_dir():  # else another process has put the same there
                raise
        remove_partial(shelf, seconds=3600)
        for old in set(shelf.glob("[0-9]*-*")) - {target}:
            shutil.rmtree(old, ignore_errors=True)
        return Volume(target)
    except OSError as error:
        raise SpotError(
            f"{error.filename or shelf}: {error.strerror}; set paths.cache to a folder that can be written"
        ) from None


def offsets_of(lengths: Sequence[int]) -> np.ndarray:
    """Return (V + 1,) int64 bounds of consecutive blocks of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """For many objects that come to stay: a collection looks at every object there is, and their number calls for many."""
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
