"""Draw which frames of each video are labelled (docs/method.md section 2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from spot.data.annotations import drawable
from spot.data.key_frames import KeyFrames, LabelledTarget, LabelledTargets, is_sparse, settings_of
from spot.data.video import Video, VideoSet
from spot.runtime.errors import SpotError

LEAST = 2  # labelled frames that a pair needs
Progress = Callable[[Iterable[Video]], Iterable[Video]]
Uniform = Callable[[], float]  # draws from [0, 1)


def sample_key_frames(
    videos: VideoSet,
    count: int,
    seed: int,
    strategy: str = "windows",
    human_only: bool | None = None,
    progress: Progress = iter,
) -> KeyFrames:
    """Draw `count` key frames for each video.

    The draw of a video depends only on `seed` and its name, not on other videos.

    Args:
        videos: the set to label.
        count: k, frames a video.
        seed: any integer.
        strategy: "windows" (around k evenly spaced frames: docs/method.md section 2), "uniform" (anywhere) or
            "first" (the first k).
        human_only: take only frames whose box a human drew, in a set that has other boxes too; None: yes.
        progress: wraps the iteration over the videos.

    Raises:
        SpotError: `count` below 1, or larger than every video; an unknown strategy.
    """
    if count < 1:
        raise SpotError(f"labels={count}: at least one key frame a video is needed")
    if len(videos) and count > videos.lengths.max():
        raise SpotError(f"labels={count}: the longest video of {videos.name} has {videos.lengths.max()} frames")
    counts = dict.fromkeys(videos.names, count)
    failures, targets = _draw(videos, counts, seed, strategy, human_only, progress)
    return KeyFrames(settings_of(videos, count), failures, targets)


def sample_budget(
    videos: VideoSet,
    budget: int,
    seed: int,
    strategy: str = "windows",
    human_only: bool | None = None,
    progress: Progress = iter,
) -> KeyFrames:
    """Spread at most `budget` boxes over as many videos as possible, two or more a video.

    With fewer than two boxes for each video, videos are drawn. With more, the numbers of boxes differ by at most one.
    If frames coincide in short videos, part of the budget is not used. Arguments as for `sample_key_frames`.

    Raises:
        SpotError: `budget` below 2; an unknown strategy.
    """
    if budget < LEAST:
        raise SpotError(f"budget={budget}: at least {LEAST} boxes are needed")
    usable = [v.name for v in videos if np.count_nonzero(v.visible) >= LEAST]
    order = sorted(usable, key=lambda name: random.Random(f"{seed}/{name}/order").random())
    chosen = order[: budget // LEAST]
    each, more = divmod(budget, max(1, len(chosen)))
    counts = {name: each + (rank < more) for rank, name in enumerate(chosen)}
    failures, targets = _draw(videos, counts, seed, strategy, human_only, progress)
    stem = "_".join(part for part in (videos.name, videos.split, f"kf_b{budget}") if part)
    return KeyFrames({**settings_of(videos, each), "name": stem, "budget": budget}, failures, targets)


def _draw(
    videos: VideoSet,
    counts: Mapping[str, int],
    seed: int,
    strategy: str,
    human_only: bool | None,
    progress: Progress,
) -> tuple[list[str], LabelledTargets]:
    """Failures, and the key frames of the videos that have a count."""
    if (draw := STRATEGIES.get(strategy)) is None:
        raise SpotError(f"strategy={strategy} is unknown; choose from: {', '.join(STRATEGIES)}")
    human = None if human_only is False else videos.human
    targets: LabelledTargets = {}
    failures: list[str] = []
    for video in progress(videos):
        if video.name not in counts:
            continue
        if is_sparse(video) and video.visible.any():  # drawn by hand: all of these boxes are kept
            drawn = np.flatnonzero(video.visible)
            targets[video.name] = (LabelledTarget(drawn, video.boxes[drawn]),)
            continue
        ids = draw(video.visible, counts[video.name], random.Random(f"{seed}/{video.name}").random)
        if ids is not None and human is not None:
            ids = human_frames(ids, human(video.boxes) & video.visible)
            ids = ids if drawable(video.boxes[ids]).all() else None
        if ids is None:
            failures.append(video.name)
        else:
            chosen = np.unique(ids)
            targets[video.name] = (LabelledTarget(chosen, video.boxes[chosen]),)
    return failures, targets


def draw_windows(visible: np.ndarray, count: int, uniform: Uniform) -> list[int] | None:
    """Return a visible frame from a window around each of `count` evenly spaced frames; None where one has no two of
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
    """Return the first `count` visible frames; None where there are fewer."""
    candidates = np.flatnonzero(visible)
    return candidates[:count].tolist() if len(candidates) >= count else None


STRATEGIES = {"windows": draw_windows, "uniform": draw_uniform, "first": draw_first}


def human_frames(ids: Iterable[int], human: np.ndarray) -> list[int]:
    """For each frame the nearest one at or before it that is `human` (n,) bool; frame 0 where there is none."""
    candidates = np.flatnonzero(human)
    places = np.searchsorted(candidates, np.asarray(list(ids)), side="right") - 1
    return np.where(places >= 0, np.append(candidates, 0)[places], 0).tolist()
