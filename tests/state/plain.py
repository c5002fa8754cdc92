"""The sampler state as dicts and lists, to compare with: docs/method.md section 5 written down word by word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spot.state.store import PseudoLabels, SamplerState, StateStore

Plain = list[dict[int, tuple[list[float], float]]]  # per path: frame -> box, confidence


def exploration(rows: Sequence[tuple[int, int, Sequence[float], float]]) -> PseudoLabels:
    """Results from rows of (path, frame, box, confidence)."""
    return PseudoLabels(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[3] for r in rows], np.float32),
    )


def random_results(rng: np.random.Generator, lengths: Sequence[int], count: int) -> PseudoLabels:
    """Results anywhere, with few different confidences so that ties are frequent."""
    path = rng.integers(0, len(lengths), count)
    frame = (rng.random(count) * np.asarray(lengths)[path]).astype(np.int64)
    box = rng.uniform(0, 300, (count, 4)).astype(np.float32)
    return PseudoLabels(path, frame, box, rng.choice([0.82, 0.9, 0.90004, 0.95, 1.0], count).astype(np.float32))


def key_frames(lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Up to three key frames a path, and boxes for them."""
    ids = [np.unique([n // 6, n // 2, 5 * n // 6]) for n in lengths]
    return ids, [np.stack([i, i + 1, i + 2, i + 3], 1).astype(np.float32) for i in ids]


def make_store(folder: Path, lengths: Sequence[int], explored: PseudoLabels | None = None) -> StateStore:
    """A store with `key_frames`; path p is the only one of video vp."""
    return StateStore.create(
        folder, [(f"v{p}", 0) for p in range(len(lengths))], lengths, *key_frames(lengths), explored
    )


def start(ids: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> Plain:
    """What is known at first: the key frames."""
    return [{int(i): (b.tolist(), 1.0) for i, b in zip(k, v, strict=True)} for k, v in zip(ids, boxes, strict=True)]


def merge(plain: Plain, keys: Sequence[np.ndarray], results: PseudoLabels) -> tuple[int, int, int]:
    """Merge in place, in order; how many were inserted, replaced, refused."""
    counts = [0, 0, 0]
    for p, frame, box, confidence in zip(*(column.tolist() for column in results), strict=True):
        new = [round(x, 1) for x in box], round(confidence, 4)
        known = plain[p].get(frame)
        if known is None:
            outcome = 0
        elif frame not in keys[p] and new[1] > round(known[1], 4):
            outcome = 1
        else:
            outcome = 2
        if outcome < 2:
            plain[p][frame] = new
        counts[outcome] += 1
    return counts[0], counts[1], counts[2]


def content(state: SamplerState) -> Plain:
    """A version as plain data, checked to be sorted."""
    paths = []
    for p in range(len(state)):
        path = state.target(p)
        assert (np.diff(path.ids) > 0).all()
        rows = zip(path.ids.tolist(), path.boxes, path.confidences.astype(float), strict=True)
        paths.append({i: (box.tolist(), confidence) for i, box, confidence in rows})
    return paths


def assert_same(found: Plain, expected: Plain) -> None:
    """Equal frames; boxes and confidences equal as float32."""
    for mine, its in zip(found, expected, strict=True):
        assert list(mine) == sorted(its)
        for frame, (box, confidence) in mine.items():
            np.testing.assert_array_equal(np.float32(box), np.float32(its[frame][0]))
            assert np.float32(confidence) == np.float32(its[frame][1])
