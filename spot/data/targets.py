"""The labelled targets of the training sets: every path with its key frames, in flat arrays.

A path is one target in one video (METHOD.md section 1). Paths are numbered through all sets; the sampler state uses the
same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spot.data.key_frames import KeyFrames
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError
from spot.state.sampler_state import SamplerState


class Targets:
    """All target paths of one or more sets.

    Args:
        sets: the training sets.
        key_frames: for each set, the key frames of its videos; videos without any are never drawn.
        distinct: leave out videos with a single key frame, which cannot give a pair of distinct frames.

    Attributes:
        set_index: (P,) int32, the set of each path.
        video_index: (P,) int32, the video within that set.
        key_offsets: (P + 1,) int64, where path p begins and ends in `key_ids` (K,) int64, `key_boxes` (K, 4) float32.

    Raises:
        SpotError: a set has no video with key frames, or a key frame lies outside its video.
    """

    def __init__(self, sets: Sequence[VideoSet], key_frames: Sequence[KeyFrames], distinct: bool = False) -> None:
        self.sets = list(sets)
        set_index: list[int] = []
        video_index: list[int] = []
        ids: list[np.ndarray] = []
        boxes: list[np.ndarray] = []
        self.first_paths: list[np.ndarray] = []  # per set: (V_s + 1,) offsets of its usable videos into the paths
        self.names: list[tuple[str, int]] = []
        for s, (videos, labels) in enumerate(zip(self.sets, key_frames, strict=True)):
            starts = [len(ids)]
            failed = set(labels.failures)
            lengths = videos.lengths
            for v, name in enumerate(videos.names):
                paths = () if name in failed else labels.paths.get(name, ())
                paths = tuple(p for p in paths if len(p.ids) > (1 if distinct else 0))
                for number, path in enumerate(paths):
                    if path.ids[-1] >= lengths[v]:
                        raise SpotError(
                            f"{name}: key frame {path.ids[-1]} lies outside the video of {lengths[v]} frames; "
                            f"the key-frame file belongs to other data"
                        )
                    set_index.append(s)
                    video_index.append(v)
                    ids.append(path.ids)
                    boxes.append(path.boxes)
                    self.names.append((name, number))
                if paths:
                    starts.append(len(ids))
            if len(starts) == 1:
                raise SpotError(f"{videos.name}: no video has key frames; sample them with python -m spot.sample")
            self.first_paths.append(np.array(starts, np.int64))
        self.set_index = np.array(set_index, np.int32)
        self.video_index = np.array(video_index, np.int32)
        self.first_of_video = np.array([number == 0 for _, number in self.names])
        self.key_offsets = np.concatenate([[0], np.cumsum([len(i) for i in ids])]).astype(np.int64)
        self.key_ids = np.concatenate(ids).astype(np.int64)
        self.key_boxes = np.concatenate(boxes).astype(np.float32)

    def __len__(self) -> int:
        return len(self.set_index)

    @property
    def lengths(self) -> np.ndarray:
        """(P,) int64, frames of the video of each path."""
        per_set = [videos.lengths for videos in self.sets]
        return np.array([per_set[s][v] for s, v in zip(self.set_index, self.video_index, strict=True)], np.int64)

    def draw(self, rng: np.random.Generator) -> int:
        """A path: a set uniformly, a video of it uniformly, a path of that video uniformly (METHOD.md section 2)."""
        starts = self.first_paths[rng.integers(len(self.first_paths))]
        video = rng.integers(len(starts) - 1)
        return int(rng.integers(starts[video], starts[video + 1]))

    def keys(self, path: int) -> tuple[np.ndarray, np.ndarray]:
        """Key-frame ids (k,) and boxes (k, 4) of a path."""
        rows = slice(int(self.key_offsets[path]), int(self.key_offsets[path + 1]))
        return self.key_ids[rows], self.key_boxes[rows]

    def state_arguments(self) -> tuple[list[tuple[str, int]], np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Names, lengths, key-frame ids and boxes of all paths, as `StateStore.create` takes them."""
        keys = [self.keys(path) for path in range(len(self))]
        return self.names, self.lengths, [ids for ids, _ in keys], [boxes for _, boxes in keys]

    def frame_path(self, path: int, frame: int) -> str:
        """Where a frame of the path's video lies."""
        return self.sets[self.set_index[path]].frames[self.video_index[path]].path(frame)

    def truth(self, paths: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """(m, 4) float32 annotated boxes of frames of paths, NaN where unknown. For measuring pseudo labels only.

        The annotation is of the first path of a video; it says nothing of the others.
        """
        boxes = np.full((len(paths), 4), np.nan, np.float32)
        for s, videos in enumerate(self.sets):
            rows = np.flatnonzero((self.set_index[paths] == s) & self.first_of_video[paths])
            boxes[rows] = videos.boxes[videos.offsets[self.video_index[paths[rows]]] + frames[rows]]
        return boxes

    def explored_by_set(self, explored: np.ndarray) -> dict[str, float]:
        """Share of the frames of each set that have been explored, from the number (P,) of each path."""
        lengths = self.lengths
        rows = {videos.name: self.set_index == s for s, videos in enumerate(self.sets)}
        return {name: float(explored[own].sum() / lengths[own].sum()) for name, own in rows.items()}

    def label_iou(self, paths: np.ndarray, frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """IoU of labels (m, 4) xywh with the annotation, where there is one; 0 for a label on an absent target."""
        truth = self.truth(paths, frames)
        known = ~np.isnan(truth).any(1)
        a, b = boxes[known].astype(np.float64), truth[known].astype(np.float64)
        low = np.maximum(a[:, :2], b[:, :2])
        high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
        inside = np.clip(high - low, 0, None).prod(1)
        union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - inside
        return inside / np.maximum(union, 1e-9)

    def recorded_labels(self, state: SamplerState) -> tuple[np.ndarray, np.ndarray]:
        """Confidence of each explored frame's label but those of key frames, and IoU as `label_iou` gives it."""
        explored = [state.path(path) for path in range(len(self))]
        relay = [~np.isin(path.ids, path.key_ids) for path in explored]
        paths = np.repeat(np.arange(len(explored)), [mask.sum() for mask in relay])
        frames, boxes, confidences = (
            np.concatenate([getattr(path, column)[mask] for path, mask in zip(explored, relay, strict=True)])
            for column in ("ids", "boxes", "confidences")
        )
        return confidences, self.label_iou(paths, frames, boxes)
