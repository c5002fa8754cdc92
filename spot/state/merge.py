"""Merging an epoch's results into what has been explored (METHOD.md section 5): arrays in, arrays out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CONFIDENCE_STEPS = 10_000  # confidences are kept to 1e-4
BOX_STEPS = 10  # boxes are kept to 0.1 px
_NEVER = 2**31  # above every confidence in steps


class Exploration(NamedTuple):
    """The results of an epoch, in the order in which they were recorded; one row a pseudo label.

    Attributes:
        path: (m,) int64 flat index of the target path over all videos.
        frame: (m,) int64, 0-based.
        box: (m, 4) float32 xywh in pixels of the full frame.
        confidence: (m,) float32, not negative: the teacher's predicted IoU.
    """

    path: np.ndarray
    frame: np.ndarray
    box: np.ndarray
    confidence: np.ndarray


class CommitReport(NamedTuple):
    """What became of an epoch's results; the three numbers add up to all of them."""

    inserted: int
    replaced: int
    refused: int


class Index(NamedTuple):
    """The explored frames of all paths, path after path.

    Attributes:
        bounds: (P + 1,) int32; entries `bounds[p]:bounds[p + 1]` belong to path p.
        ids: (n,) int32 explored frames, sorted within a path.
        records: (n,) int32 rows of the record log with their boxes and confidences.
    """

    bounds: np.ndarray
    ids: np.ndarray
    records: np.ndarray


class Merged(NamedTuple):
    """The index after a merge, the records (a, 5) float32 to append to the log, and what became of the results."""

    explored: Index
    records: np.ndarray
    report: CommitReport


def make_records(boxes: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """Rows (m, 5) float32 of the record log: xywh in pixels, confidence."""
    return np.concatenate([boxes, confidences[:, None]], 1).astype(np.float32)


def merge(index: Index, log: np.ndarray, lengths: np.ndarray, keys: Index, results: Exploration) -> Merged:
    """Merge results in their order: a new frame is inserted, a known one replaced by a strictly higher confidence.

    Key frames are never touched (the published guard compares an index with frame ids and blocks some relay frames
    too). Boxes are rounded to 0.1 px and confidences to 1e-4 before they are compared.

    Args:
        index, log: what has been explored, and the records that it points to, (r, 5) float32.
        lengths: (P,) frames of each path.
        keys: the key frames, as an index without meaning in `records`.
        results: rows of paths 0..P-1 and frames inside them, with finite boxes and confidences.

    Raises:
        ValueError: a result names no frame of any path, or holds a number that is not finite.
    """
    _check(results, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    rows = offsets[results.path] + results.frame.astype(np.int32)
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    steps = np.rint(results.confidence[order].astype(np.float64) * CONFIDENCE_STEPS).astype(np.int64)

    first = np.diff(rows, prepend=-1) > 0
    group = np.cumsum(first) - 1  # results on one frame are a group
    targets = rows[first]
    place, known = _find(_rows(index, offsets), targets)
    stored = np.full(len(targets), -1)
    stored[known] = np.rint(log[index.records[place[known]], 4].astype(np.float64) * CONFIDENCE_STEPS)
    stored[_find(_rows(keys, offsets), targets)[1]] = _NEVER

    # Groups ascend, so one running maximum over group * _NEVER + confidence runs within each group.
    best = np.maximum.accumulate(group * _NEVER + steps) - group * _NEVER
    before = np.where(first, -1, np.roll(best, 1))
    accepted = np.flatnonzero(steps > np.maximum(before, stored[group]))
    winners = accepted[np.diff(group[accepted], append=len(targets)) > 0]  # the last accepted of each group

    changed = group[winners]
    boxes = np.rint(results.box[order[winners]].astype(np.float64) * BOX_STEPS) / BOX_STEPS + 0.0  # no -0
    records = make_records(boxes, steps[winners] / CONFIDENCE_STEPS)
    numbers = np.arange(len(log), len(log) + len(records), dtype=np.int32)
    new = ~known[changed]
    merged = _put(index, place[changed], new, results, order[winners], numbers)
    inserted = int(new.sum())
    replaced = len(accepted) - inserted
    return Merged(merged, records, CommitReport(inserted, replaced, len(rows) - inserted - replaced))


def find_gaps(index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Where the unexplored stretches between explored frames begin.

    Returns:
        bounds (P + 1,) int32, and gaps (g,) int32: path p's gaps `gaps[bounds[p]:bounds[p + 1]]` are sorted positions i
        among its explored frames such that frame `ids[i] + 1` is not explored but a later one is.
    """
    wide = np.diff(index.ids) > 1
    wide[index.bounds[1:-1] - 1] = False  # from one path to the next
    gaps = np.flatnonzero(wide).astype(np.int32)
    bounds = np.searchsorted(gaps, index.bounds).astype(np.int32)
    return bounds, gaps - np.repeat(index.bounds[:-1], np.diff(bounds))


def _check(results: Exploration, lengths: np.ndarray) -> None:
    path, frame, box, confidence = results
    fine = (path >= 0) & (path < len(lengths))
    fine[fine] = (frame[fine] >= 0) & (frame[fine] < lengths[path[fine]])
    fine &= np.isfinite(box).all(1) & (confidence >= 0) & (confidence < 1e4)
    if not fine.all():
        i = int(np.argmin(fine))
        raise ValueError(
            f"result {i} is frame {frame[i]} of path {path[i]}, box {box[i]}, confidence {confidence[i]}: "
            "no such frame, or no finite numbers"
        )


def _rows(index: Index, offsets: np.ndarray) -> np.ndarray:
    """(n,) int32 sorted: each explored frame's row where all frames of all paths follow one another."""
    return np.repeat(offsets[:-1], np.diff(index.bounds)) + index.ids


def _find(rows: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted row is or belongs among sorted rows, and whether it is there."""
    place = np.searchsorted(rows, wanted)
    return place, rows[np.minimum(place, len(rows) - 1)] == wanted


def _put(
    index: Index, place: np.ndarray, new: np.ndarray, results: Exploration, which: np.ndarray, numbers: np.ndarray
) -> Index:
    """Point known entries to their new records, and insert the `new` ones before `place`."""
    records = index.records.copy()
    records[place[~new]] = numbers[~new]
    paths, frames = results.path[which[new]], results.frame[which[new]]
    count = len(index.ids) + len(paths)
    at = place[new] + np.arange(len(paths))
    old = np.ones(count, bool)
    old[at] = False
    ids, merged = np.empty(count, np.int32), np.empty(count, np.int32)
    ids[old], ids[at] = index.ids, frames
    merged[old], merged[at] = records, numbers[new]
    added = np.bincount(paths, minlength=len(index.bounds) - 1)
    bounds = index.bounds + np.concatenate([[0], np.cumsum(added)]).astype(np.int32)
    return Index(bounds, ids, merged)
