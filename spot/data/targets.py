"""The labelled targets of the training sets: every target with its key frames, in flat arrays.

A target is one object in one video (docs/method.md; the published program calls it a path). Targets are numbered
over all sets; the sampler state uses the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spot.data.boxes import box_iou
from spot.data.key_frames import KeyFrames
from spot.data.video import VideoSet, offsets_of
from spot.runtime.errors import SpotError
from spot.state.sampler_state import SamplerState


class Targets:
    """All targets of one or more sets.

    Args:
        sets: the training sets.
        key_frames: for each set, the key frames of its videos; videos without any are never drawn.
        distinct: leave out videos with a single key frame, which cannot give a pair of distinct frames.

    Attributes:
        set_index: (P,) int32, the set of each target.
        video_index: (P,) int32, the video within that set.
        key_offsets: (P + 1,) int64, begin and end of target p in `key_ids` (K,) int64 and `key_boxes` (K, 4) float32.

    Raises:
        SpotError: a set has no video with key frames, or a key frame is outside its video.
    """

    def __init__(self, sets: Sequence[VideoSet], key_frames: Sequence[KeyFrames], distinct: bool = False) -> None:
        self.sets = list(sets)
        set_index: list[int] = []
        video_index: list[int] = []
        ids: list[np.ndarray] = []
        boxes: list[np.ndarray] = []
        self.first_targets: list[np.ndarray] = []  # per set: (V_s + 1,) offsets of its usable videos into the targets
        self.names: list[tuple[str, int]] = []
        for s, (videos, labels) in enumerate(zip(self.sets, key_frames, strict=True)):
            starts = [len(ids)]
            failed = set(labels.failures)
            lengths = videos.lengths
            for v, name in enumerate(videos.names):
                targets = () if name in failed else labels.targets.get(name, ())
                targets = tuple(p for p in targets if len(p.ids) > (1 if distinct else 0))
                for number, target in enumerate(targets):
                    if target.ids[-1] >= lengths[v]:
                        raise SpotError(
                            f"{name}: key frame {target.ids[-1]} lies outside the video of {lengths[v]} frames; "
                            f"the key-frame file belongs to other data"
                        )
                    set_index.append(s)
                    video_index.append(v)
                    ids.append(target.ids)
                    boxes.append(target.boxes)
                    self.names.append((name, number))
                if targets:
                    starts.append(len(ids))
            if len(starts) == 1:
                raise SpotError(f"{videos.name}: no video has key frames; sample them with python -m spot.sample")
            self.first_targets.append(np.array(starts, np.int64))
        self.set_index = np.array(set_index, np.int32)
        self.video_index = np.array(video_index, np.int32)
        self.first_of_video = np.array([number == 0 for _, number in self.names])
        self.key_offsets = offsets_of([len(i) for i in ids])
        self.key_ids = np.concatenate(ids).astype(np.int64)
        self.key_boxes = np.concatenate(boxes).astype(np.float32)

    def __len__(self) -> int:
        return len(self.set_index)

    @property
    def lengths(self) -> np.ndarray:
        """(P,) int64, frames of the video of each target."""
        per_set = [videos.lengths for videos in self.sets]
        return np.array([per_set[s][v] for s, v in zip(self.set_index, self.video_index, strict=True)], np.int64)

    def draw(self, rng: np.random.Generator) -> int:
        """Draw a set, then one of its videos, then one of the video's targets, uniformly (docs/method.md section 2)."""
        starts = self.first_targets[rng.integers(len(self.first_targets))]
        video = rng.integers(len(starts) - 1)
        return int(rng.integers(starts[video], starts[video + 1]))

    def keys(self, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Return key-frame ids (k,) and boxes (k, 4) of a target."""
        rows = slice(int(self.key_offsets[target]), int(self.key_offsets[target + 1]))
        return self.key_ids[rows], self.key_boxes[rows]

    def state_arguments(self) -> tuple[list[tuple[str, int]], np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Names, lengths, key-frame ids and boxes of all targets, as `StateStore.create` takes them."""
        keys = [self.keys(index) for index in range(len(self))]
        return self.names, self.lengths, [ids for ids, _ in keys], [boxes for _, boxes in keys]

    def frame_path(self, target: int, frame: int) -> str:
        """Return the path of a frame of the target's video."""
        return self.sets[self.set_index[target]].frames[self.video_index[target]].path(frame)

    def annotated_boxes(self, targets: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return (m, 4) float32 annotated boxes, NaN where unknown. They are only for measuring pseudo labels.

        The annotation is of the first target of a video; boxes of its other targets are unknown.
        """
        boxes = np.full((len(targets), 4), np.nan, np.float32)
        for s, videos in enumerate(self.sets):
            rows = np.flatnonzero((self.set_index[targets] == s) & self.first_of_video[targets])
            boxes[rows] = videos.boxes[videos.offsets[self.video_index[targets[rows]]] + frames[rows]]
        return boxes

    def is_key(self, targets: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return (m,) bool: whether frame `frames[i]` is a key frame of target `targets[i]`."""
        stride = int(max(self.key_ids.max(), frames.max(initial=0))) + 1
        owner = np.repeat(np.arange(len(self)), np.diff(self.key_offsets))
        return np.isin(targets * stride + frames, owner * stride + self.key_ids)

    def explored_by_set(self, explored: np.ndarray) -> dict[str, float]:
        """Return the explored fraction of each set's frames, from the number (P,) of explored frames of each target."""
        lengths = self.lengths
        rows = {videos.name: self.set_index == s for s, videos in enumerate(self.sets)}
        return {name: float(explored[own].sum() / lengths[own].sum()) for name, own in rows.items()}

    def label_iou(self, targets: np.ndarray, frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return the IoU of labels (m, 4) xywh with the annotation, where it is known; 0 if the target is absent."""
        annotated = self.annotated_boxes(targets, frames)
        known = ~np.isnan(annotated).any(1)
        return box_iou(boxes[known], annotated[known])

    def recorded_labels(self, state: SamplerState) -> tuple[np.ndarray, np.ndarray]:
        """Return confidence and IoU (see `label_iou`) of the labels of all explored frames that are not key frames."""
        explored = [state.target(index) for index in range(len(self))]
        relay = [~np.isin(target.ids, target.key_ids) for target in explored]
        targets = np.repeat(np.arange(len(explored)), [mask.sum() for mask in relay])
        frames, boxes, confidences = (
            np.concatenate([getattr(target, column)[mask] for target, mask in zip(explored, relay, strict=True)])
            for column in ("ids", "boxes", "confidences")
        )
        return confidences, self.label_iou(targets, frames, boxes)
