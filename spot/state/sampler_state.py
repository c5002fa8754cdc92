"""One committed version of the sampler state, memory-mapped and read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spot.runtime.errors import SpotError
from spot.state.merge import Index
from spot.state.state_files import map_rows, read_arrays

TARGETS_FILE = "paths.state"


class TargetState(NamedTuple):
    """The explored frames of one target. All but `boxes` and `confidences` are views of the memory map.

    Attributes:
        length: frames of the video.
        ids: (m,) int32 explored frames, sorted, key frames included.
        records: (m,) int32 rows of `log` with their boxes and confidences.
        log: (r, 5) float32 xywh in image pixels and confidence; shared by all targets.
        gaps: (g,) int32 sorted positions i such that frame `ids[i] + 1` is unexplored and a later one explored.
        key_ids: (k,) int32 key frames, sorted.
        key_boxes: (k, 4) float32 their human boxes, xywh in image pixels.
    """

    length: int
    ids: np.ndarray
    records: np.ndarray
    log: np.ndarray
    gaps: np.ndarray
    key_ids: np.ndarray
    key_boxes: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """(m, 4) float32 boxes of the explored frames, xywh in image pixels; a copy."""
        return self.log[self.records, :4]

    @property
    def confidences(self) -> np.ndarray:
        """(m,) float32 confidences of the explored frames, 1 for key frames; a copy."""
        return self.log[self.records, 4]

    def box(self, i: int) -> np.ndarray:
        """Return the box of explored frame `ids[i]`, (4,) float32 xywh in image pixels."""
        return self.log[self.records[i], :4].copy()


class TargetTable:
    """The part that all versions share: names and lengths of the targets, and their key frames."""

    def __init__(self, folder: Path) -> None:
        self.file = read_arrays(folder / TARGETS_FILE, "paths")
        self.folder = folder
        self.fingerprint: str = self.file.header["fingerprint"]
        self.lengths = self.file.arrays["lengths"]
        self.key_boxes = self.file.arrays["key_boxes"]
        bounds, ids = self.file.arrays["key_bounds"], self.file.arrays["key_ids"]
        self.keys = Index(bounds, ids, np.arange(len(ids), dtype=np.int32))

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def names(self) -> list[tuple[str, int]]:
        """Video name and number within the video of each target; parsed at first use."""
        lines = bytes(self.file.arrays["names"]).decode().splitlines()
        return [(video, int(number)) for number, video in (line.split(" ", 1) for line in lines)]


class SamplerState:
    """One version of the sampler state, read-only, valid from `epoch` on.

    Opening takes milliseconds and copies nothing, whatever the size. Pickling transfers the file's name, not the
    content.

    Attributes:
        version, epoch: number of the version, and its first epoch.
        digest: 32 hexadecimal digits that identify the content and the history of the version.
        lengths: (P,) int64 frames of each target's video.
        file: the file of the version.

    Raises:
        SpotError: the version is absent, damaged, truncated, or has other targets or key frames.
    """

    def __init__(self, targets: TargetTable, file: Path) -> None:
        self._targets = targets
        self.file = read_arrays(file, "version")
        header = self.file.header
        if header["fingerprint"] != targets.fingerprint:
            raise SpotError(f"{file}: belongs to another sampler state; remove it to fall back to the one before")
        self.version: int = header["version"]
        self.epoch: int = header["epoch"]
        self.digest: str = self.file.digest
        self.lengths = targets.lengths
        self.log_file = targets.folder / header["log"]
        self.log_crc32: int = header["log_crc32"]
        self.log = map_rows(self.log_file, header["log_rows"], 5)
        arrays = self.file.arrays
        self.index = Index(arrays["bounds"], arrays["ids"], arrays["records"])
        self._gap_bounds, self._gaps = arrays["gap_bounds"], arrays["gaps"]

    def __reduce__(self) -> tuple:
        return _reopen, (self._targets.folder, self.file.path.name, self.digest)

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def names(self) -> Sequence[tuple[str, int]]:
        """(P,) video name and number of the target within its video, of each target."""
        return self._targets.names

    @property
    def explored_counts(self) -> np.ndarray:
        """(P,) int32 explored frames of each target, key frames included."""
        return np.diff(self.index.bounds)

    def target(self, index: int) -> TargetState:
        """Return target `index`, 0 <= index < len(self). The time does not depend on the number of explored frames."""
        keys = self._targets.keys
        explored = slice(*self.index.bounds[index : index + 2].tolist())
        gaps = slice(*self._gap_bounds[index : index + 2].tolist())
        key = slice(*keys.bounds[index : index + 2].tolist())
        return TargetState(
            self.lengths.item(index),
            self.index.ids[explored],
            self.index.records[explored],
            self.log,
            self._gaps[gaps],
            keys.ids[key],
            self._targets.key_boxes[key],
        )

    def find_target(self, video: str, keys: Mapping[int, np.ndarray]) -> TargetState | None:
        """Return the target of a video whose key frames are all among `keys` (frame -> box xywh, to 0.1 px), if any."""
        for index in self._of_video.get(video, ()):
            target = self.target(index)
            known = zip(target.key_ids.tolist(), target.key_boxes, strict=True)
            if all(frame in keys and np.allclose(keys[frame], box, atol=0.1) for frame, box in known):
                return target
        return None

    @cached_property
    def _of_video(self) -> dict[str, list[int]]:
        indices: dict[str, list[int]] = {}
        for index, (video, _) in enumerate(self.names):
            indices.setdefault(video, []).append(index)
        return indices


def _reopen(folder: Path, name: str, digest: str) -> SamplerState:
    state = SamplerState(TargetTable(folder), folder / name)
    if state.digest != digest:
        raise SpotError(f"{folder / name}: changed since it was opened; start the processes that read it again")
    return state


def target_arrays(
    names: Sequence[tuple[str, int]],
    lengths: Sequence[int] | np.ndarray,
    key_ids: Sequence[np.ndarray],
    key_boxes: Sequence[np.ndarray],
) -> tuple[dict[str, np.ndarray], str]:
    """Check the arrays of the targets' file; return them and their fingerprint.

    Args:
        names: video name and number of the target within the video, of each of P targets, unique.
        lengths: frames of each target's video.
        key_ids: (k,) integers, the key frames of each target, sorted, at least one.
        key_boxes: (k, 4) their boxes, xywh in image pixels.

    Raises:
        SpotError: a target's key frames are absent, unsorted, outside the video or without a finite box.
    """
    if len(set(names)) != len(names) or not len(names) == len(lengths) == len(key_ids) == len(key_boxes) > 0:
        raise SpotError(f"{len(names)} targets need as many different names, lengths and lists of key frames")
    frames = np.asarray(lengths, np.int64)
    if frames.sum() >= 2**31:
        raise SpotError(f"{frames.sum():,} frames are more than a sampler state holds (2,147,483,647); split the set")
    usable = [len(k) > 0 and np.shape(b) == (len(k), 4) for k, b in zip(key_ids, key_boxes, strict=True)]
    if all(usable):
        ids, boxes = np.concatenate(key_ids), np.concatenate(key_boxes)
        owner = np.repeat(np.arange(len(names)), [len(k) for k in key_ids])
        inside = (ids >= 0) & (ids < frames[owner]) & np.isfinite(boxes).all(1)
        inside[1:] &= (np.diff(ids) > 0) | (np.diff(owner) > 0)
        usable = (np.bincount(owner, ~inside) == 0).tolist()
    usable = [ok and video.isprintable() for ok, (video, _) in zip(usable, names, strict=True)]
    if not all(usable):
        video, number = names[usable.index(False)]
        raise SpotError(
            f"{video} (target {number}): needs key frames in order inside the video, each with a finite box"
        )
    text = "\n".join(f"{number} {video}" for video, number in names)
    arrays: dict[str, np.ndarray] = {
        "lengths": frames,
        "key_bounds": np.cumsum([0] + [len(k) for k in key_ids]).astype(np.int32),
        "key_ids": ids.astype(np.int32),
        "key_boxes": boxes.astype(np.float32),
        "names": np.frombuffer(text.encode(), np.uint8),
    }
    content = blake2b(digest_size=16)
    for array in arrays.values():
        content.update(array.tobytes())
    return arrays, content.hexdigest()
