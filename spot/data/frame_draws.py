"""Draw which frames of a video are labelled (docs/method.md section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

Uniform = Callable[[], float]  # draws from [0, 1)


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
