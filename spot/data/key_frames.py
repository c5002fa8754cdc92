"""Key frames: which frames of which videos carry a human box (METHOD.md section 2)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spot.data.annotations import drawable
from spot.data.video import Video, VideoSet
from spot.errors import SpotError

Uniform = Callable[[], float]  # draws from [0, 1)


@dataclass(frozen=True, eq=False)
class TargetPath:
    """The key frames of one target.

    Attributes:
        ids: (k,) int64 frame indices, 0-based, strictly ascending.
        boxes: (k, 4) float32 xywh in pixels of the full frame.
        own: the boxes belong to the key-frame file (target discovery) and not to the data set's annotation.
    """

    ids: np.ndarray
    boxes: np.ndarray
    own: bool = False


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The key frames of a set.

    Attributes:
        settings: `name`, `dataset`, `split`, `mode` ("key_frames" or "all_frames") and `num`, as the file has
            them.
        failures: names of the videos that yielded too few frames; they are not trained on.
        paths: name of each other video -> its targets, one as a rule.
    """

    settings: dict
    failures: list[str]
    paths: dict[str, tuple[TargetPath, ...]]

    @property
    def boxes(self) -> int:
        """How many boxes there are in all."""
        return sum(len(path.ids) for paths in self.paths.values() for path in paths)

    @classmethod
    def read(cls, file: str | Path, videos: VideoSet) -> KeyFrames:
        """Read a key-frame file; boxes that it does not carry are those of the annotation.

        Raises:
            SpotError: the file is missing or broken, or does not fit the videos (unknown video, frame outside
                the video, no box there).
        """
        content = _load(file)
        try:
            settings, failures, result = (
                content[k] for k in ("fs_settings", "failure_seqs", "sparse_sample_result")
            )
            paths = {
                name: tuple(_path(file, videos[name], entry) for entry in entries)
                for name, entries in result.items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpotError(
                f"{file}: not a key-frame file ({error}); write it with python -m spot.sample"
            ) from None
        except SpotError as error:
            raise SpotError(f"{file}: {error}") from None
        return cls(settings, failures, paths)

    def write(self, file: str | Path) -> None:
        """Write the published format (METHOD.md section 2), whole or not at all."""
        result = {}
        for name, paths in self.paths.items():
            result[name] = [
                {"f_ids": p.ids.tolist(), **({"bboxes": _rounded(p.boxes)} if p.own else {})} for p in paths
            ]
        content = {
            "fs_settings": self.settings,
            "failure_seqs": self.failures,
            "sparse_sample_result": result,
        }
        file = Path(file)
        aside = file.with_name(f".{file.name}.writing")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            aside.replace(file)
        except OSError as error:
            raise SpotError(f"{file}: {error.strerror}; choose another output=") from None


def sample_key_frames(
    videos: VideoSet,
    count: int,
    seed: int,
    strategy: str = "windows",
    human_only: bool | None = None,
    progress: Callable[[Iterable[Video]], Iterable[Video]] = iter,
) -> KeyFrames:
    """Draw `count` key frames for each video.

    The draw of a video follows from `seed` and its name alone, whatever other videos there are.

    Args:
        videos: the set to label.
        count: k, frames a video.
        seed: any integer.
        strategy: "windows" (around k evenly spaced frames: METHOD.md section 2), "uniform" (anywhere),
            "first" (the k first).
        human_only: take only frames whose box a human drew; None: for TrackingNet, which has others too.
        progress: wraps the iteration over the videos.

    Raises:
        SpotError: `count` below 1, or larger than every video; an unknown strategy.
    """
    draw = STRATEGIES.get(strategy)
    if draw is None:
        raise SpotError(f"strategy={strategy} is unknown; choose from: {', '.join(STRATEGIES)}")
    if count < 1:
        raise SpotError(f"labels={count}: at least one key frame a video is needed")
    if len(videos) and count > videos.lengths.max():
        raise SpotError(
            f"labels={count}: the longest video of {videos.name} has {videos.lengths.max()} frames"
        )
    human_only = videos.name == "TrackingNet" if human_only is None else human_only
    paths: dict[str, tuple[TargetPath, ...]] = {}
    failures = []
    for video in progress(videos):
        uniform = random.Random(f"{seed}/{video.name}").random
        ids = draw(video.visible, count, uniform)
        if ids is not None and human_only:
            ids = human_frames(ids, is_human(video.boxes) & video.visible)
        if ids is None:
            failures.append(video.name)
        else:
            chosen = np.unique(ids)
            paths[video.name] = (TargetPath(chosen, video.boxes[chosen]),)
    return KeyFrames(settings(videos, count), failures, paths)


def all_frames(videos: VideoSet) -> KeyFrames:
    """Every visible frame as a key frame: the fully supervised baseline, which needs no file."""
    paths: dict[str, tuple[TargetPath, ...]] = {}
    failures = []
    for video in videos:
        ids = np.flatnonzero(video.visible)
        if len(ids):
            paths[video.name] = (TargetPath(ids, video.boxes[ids]),)
        else:
            failures.append(video.name)
    return KeyFrames(settings(videos, None), failures, paths)


def draw_windows(visible: np.ndarray, count: int, uniform: Uniform) -> list[int] | None:
    """A visible frame from a window around each of `count` evenly spaced frames; None where one has no two of
    them.

    Args:
        visible: (n,) bool.
        count: k.
        uniform: source of chance, called once for each frame that is drawn.
    """
    frames, ids = len(visible), []
    step = max(1, frames // (8 * count))
    for i in range(count):
        base = min(i * frames // count + frames // (2 * count), frames - 1)
        for gap in range(step, frames + 1, step):
            first = max(0, base - gap)
            candidates = np.flatnonzero(visible[first : base + gap])
            if len(candidates) > 1:
                ids.append(first + int(candidates[int(uniform() * len(candidates))]))
                break
        else:
            return None
    return ids


def draw_uniform(visible: np.ndarray, count: int, uniform: Uniform) -> list[int] | None:
    """`count` different visible frames, all subsets equally likely; None where there are fewer."""
    candidates = np.flatnonzero(visible).tolist()
    if len(candidates) < count:
        return None
    for i in range(count):  # the first steps of a Fisher-Yates shuffle
        j = i + int(uniform() * (len(candidates) - i))
        candidates[i], candidates[j] = candidates[j], candidates[i]
    return candidates[:count]


def draw_first(visible: np.ndarray, count: int, uniform: Uniform) -> list[int] | None:
    """The first `count` visible frames; None where there are fewer."""
    candidates = np.flatnonzero(visible)
    return candidates[:count].tolist() if len(candidates) >= count else None


STRATEGIES = {"windows": draw_windows, "uniform": draw_uniform, "first": draw_first}


def is_human(boxes: np.ndarray) -> np.ndarray:
    """(n,) bool: TrackingNet's boxes (n, 4) that a human drew have whole coordinates, those of the tracker do
    not.
    """
    return np.abs(boxes - np.round(boxes)).sum(1) <= 0.01


def human_frames(ids: Iterable[int], human: np.ndarray) -> list[int] | None:
    """For each frame the nearest one at or before it that is `human` (n,) bool; None where there is none."""
    candidates = np.flatnonzero(human)
    places = np.searchsorted(candidates, np.asarray(list(ids)), side="right") - 1
    return candidates[places].tolist() if (places >= 0).all() else None


def settings(videos: VideoSet, count: int | None) -> dict:
    """The `fs_settings` of a set: `count` frames a video, or all frames for None."""
    mode = "all_frames" if count is None else "key_frames"
    name = file_stem(videos.name, videos.split, count)
    return {"name": name, "dataset": videos.name, "split": videos.split, "mode": mode, "num": count}


def file_stem(dataset: str, split: str, count: int | None) -> str:
    """Name of a key-frame file without its ending: `LaSOT_train_kf_003`."""
    suffix = "all" if count is None else f"kf_{count:03d}"
    return "_".join(part for part in (dataset, split, suffix) if part)


def _load(file: str | Path) -> dict:
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpotError(f"{file}: {error.strerror}; write it with python -m spot.sample") from None
    except ValueError as error:
        raise SpotError(
            f"{file}: not a JSON file ({error}); write it again with python -m spot.sample"
        ) from None
    return content


def _path(file: str | Path, video: Video, entry: dict) -> TargetPath:
    ids = np.array(entry["f_ids"], np.int64).reshape(-1)
    own = entry.get("bboxes") is not None
    if not len(ids) or ids.min() < 0 or ids.max() >= len(video):
        raise SpotError(
            f"{video.name} has {len(video)} frames, the key frames are {ids.tolist()}; sample it again"
        )
    boxes = np.array(entry["bboxes"], np.float32).reshape(-1, 4) if own else video.boxes[ids]
    if len(boxes) != len(ids):
        raise SpotError(f"{video.name} has {len(ids)} key frames and {len(boxes)} boxes; repair the file")
    ids, first = np.unique(ids, return_index=True)
    boxes = boxes[first]
    if not drawable(boxes).all():
        frame = ids[np.flatnonzero(~drawable(boxes))[0]]
        raise SpotError(f"{video.name}: frame {frame} has no box; sample it again with python -m spot.sample")
    return TargetPath(ids, boxes, own)


def _rounded(boxes: np.ndarray) -> list[list[float]]:
    return [[round(float(x), 4) for x in box] for box in boxes]
