"""Key frames, the frames with a human box (docs/method.md section 2), and their files (docs/formats.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spot.data.annotations import drawable
from spot.data.video import Video, VideoSet
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError


@dataclass(frozen=True, eq=False)
class LabelledTarget:
    """The key frames of one target.

    Attributes:
        ids: (k,) int64 frame indices, 0-based, strictly ascending.
        boxes: (k, 4) float32 xywh in pixels of the full frame.
        own: the boxes come from the key-frame file (target discovery), not from the data set's annotation.
    """

    ids: np.ndarray
    boxes: np.ndarray
    own: bool = False


LabelledTargets = dict[str, tuple[LabelledTarget, ...]]


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The key frames of a set.

    Attributes:
        settings: `name`, `dataset`, `split`, `mode` ("key_frames" or "all_frames") and `num`, as the file has them.
        failures: names of the videos that yielded too few frames; they are not trained on.
        targets: name of each other video -> its targets, one as a rule.
    """

    settings: dict
    failures: list[str]
    targets: LabelledTargets

    @property
    def boxes(self) -> int:
        """How many boxes there are in all."""
        return sum(len(target.ids) for targets in self.targets.values() for target in targets)

    @classmethod
    def read(cls, file: str | Path, videos: VideoSet) -> KeyFrames:
        """Read a key-frame file; boxes that it does not carry are those of the annotation.

        Raises:
            SpotError: the file is missing or broken, or does not fit the videos (a video that is not there, a frame
                outside its video, a frame without a box).
        """
        content = _load(file)
        try:
            settings, failures, result = (content[k] for k in ("fs_settings", "failure_seqs", "sparse_sample_result"))
            targets = {name: tuple(_target(videos[name], e) for e in entries) for name, entries in result.items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SpotError(f"{file}: not a key-frame file ({error}); write it with python -m spot.sample") from None
        except SpotError as error:
            raise SpotError(f"{file}: {error}") from None
        return cls(settings, failures, targets)

    @classmethod
    def of_hand_drawn(cls, videos: VideoSet) -> KeyFrames | None:
        """Return every box of a set that its user has drawn; None for a set with dense annotation.

        Such a set needs no key-frame file: a box that is added counts at the next start. It has `own_labels`, or less
        than half of the frames of every video have a box (`is_sparse`). Videos without a box are failures: they are
        not trained on.

        Raises:
            SpotError: the user has not drawn any box yet.
        """
        labels = videos.own_labels
        if labels is None:
            return all_frames(videos) if len(videos) and all(is_sparse(video) for video in videos) else None
        targets: LabelledTargets = {}
        for name, number in labels.targets:
            rows = labels.take((labels.video == name) & (labels.target == number) & ~labels.absent)
            if len(rows):
                target = LabelledTarget(rows.frame, rows.box.astype(np.float32), own=True)
                targets[name] = (*targets.get(name, ()), target)
        if not targets:
            raise SpotError(f"{videos.name}: no box is drawn yet; draw some with python -m spot.label")
        return cls(settings_of(videos, None), [name for name in videos.names if name not in targets], targets)

    @classmethod
    def find(cls, folder: str | Path, videos: VideoSet, count: int) -> KeyFrames | None:
        """Read the file of the usual name from a folder; None where there is none.

        For a set of several parts that is the merged file (`TrackingNet_0-3_kf_003.json`), or else the files of all
        parts (`TrackingNet_0_kf_003.json`, ...).
        """
        usual = Path(folder) / f"{file_stem(videos.name, videos.split, count)}.json"
        if usual.is_file():
            return cls.read(usual, videos)
        files = [Path(folder) / f"{file_stem(videos.name, part, count)}.json" for part in videos.parts]
        if not files or not all(file.is_file() for file in files):
            return None
        parts = [cls.read(file, videos) for file in files]
        failures = [name for part in parts for name in part.failures]
        targets = {name: each for part in parts for name, each in part.targets.items()}
        return cls(settings_of(videos, count), failures, targets)

    def write(self, file: str | Path) -> None:
        """Write the published format (docs/formats.md), completely or not at all; raise SpotError if that fails."""
        result = {name: [_entry(target) for target in targets] for name, targets in self.targets.items()}
        content = {"fs_settings": self.settings, "failure_seqs": self.failures, "sparse_sample_result": result}
        with replacing(file, "choose another output=") as aside:
            aside.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def is_sparse(video: Video) -> bool:
    """Return whether less than half of a video's frames have a box. Then a user drew them, and each is a key frame."""
    return 2 * int(np.isfinite(video.boxes[:, 0]).sum()) < len(video)


def all_frames(videos: VideoSet) -> KeyFrames:
    """Return every visible frame as a key frame: the fully supervised baseline, which needs no file."""
    targets: LabelledTargets = {}
    failures = []
    for video in videos:
        ids = np.flatnonzero(video.visible)
        if len(ids):
            targets[video.name] = (LabelledTarget(ids, video.boxes[ids]),)
        else:
            failures.append(video.name)
    return KeyFrames(settings_of(videos, None), failures, targets)


def settings_of(videos: VideoSet, count: int | None) -> dict:
    """Return the `fs_settings` of a set: `count` frames a video, or all frames for None."""
    mode = "all_frames" if count is None else "key_frames"
    name = file_stem(videos.name, videos.split, count)
    return {"name": name, "dataset": videos.name, "split": videos.split, "mode": mode, "num": count}


def file_stem(dataset: str, split: str, count: int | None) -> str:
    """Return the name of a key-frame file without its ending: `LaSOT_train_kf_003`."""
    suffix = "all" if count is None else f"kf_{count:03d}"
    return "_".join(part for part in (dataset, split, suffix) if part)


def _load(file: str | Path) -> dict:
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpotError(f"{file}: {error.strerror}; write it with python -m spot.sample") from None
    except (ValueError, RecursionError) as error:
        raise SpotError(f"{file}: not a JSON file ({error}); write it again with python -m spot.sample") from None


def _target(video: Video, entry: dict) -> LabelledTarget:
    ids = np.array(entry["f_ids"], np.int64).reshape(-1)
    own = entry.get("bboxes") is not None
    if not len(ids) or ids.min() < 0 or ids.max() >= len(video):
        raise SpotError(f"{video.name} has {len(video)} frames, the key frames are {ids.tolist()}; sample it again")
    boxes = np.array(entry["bboxes"], np.float32).reshape(-1, 4) if own else video.boxes[ids]
    if len(boxes) != len(ids):
        raise SpotError(f"{video.name} has {len(ids)} key frames and {len(boxes)} boxes; repair the file")
    ids, first = np.unique(ids, return_index=True)
    boxes = boxes[first]
    if not (usable := drawable(boxes)).all():
        raise SpotError(f"{video.name}: frame {ids[~usable][0]} has no box; sample it again with python -m spot.sample")
    return LabelledTarget(ids, boxes, own)


def _entry(target: LabelledTarget) -> dict:
    entry: dict = {"f_ids": target.ids.tolist()}
    if target.own:
        entry["bboxes"] = [[round(number, 4) for number in box] for box in target.boxes.tolist()]
    return entry
