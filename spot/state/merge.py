"""Merge an epoch's pseudo labels into the explored frames (docs/method.md section 5): arrays in, arrays out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CONFIDENCE_STEPS = 10_000  # confidences are kept to 1e-4
BOX_STEPS = 10  # boxes are kept to 0.1 px
_NEVER = 2**31  # above every confidence in steps


class PseudoLabels(NamedTuple):
    """The pseudo labels of an epoch, one a row, in the order in which they were recorded.

    Attributes:
        target_index: (m,) int64 flat index of the target over all videos.
        frame: (m,) int64, 0-based.
        box: (m, 4) float32 xywh in pixels of the full frame.
        confidence: (m,) float32, not negative: the teacher's predicted IoU.
    """

    target_index: np.ndarray
    frame: np.ndarray
    box: np.ndarray
    confidence: np.ndarray


class CommitReport(NamedTuple):
    """How many pseudo labels of an epoch were inserted, replaced or refused; the sum is all of them."""

    inserted: int
    replaced: int
    refused: int


class Index(NamedTuple):
    """The explored frames of all targets, target after target.

    Attributes:
        bounds: (P + 1,) int32; entries `bounds[i]:bounds[i + 1]` belong to target i.
        ids: (n,) int32 explored frames, sorted within a target.
        records: (n,) int32 rows of the record log with their boxes and confidences.
    """

    bounds: np.ndarray
    ids: np.ndarray
    records: np.ndarray


class Merged(NamedTuple):
    """The index after a merge, the records (a, 5) float32 to append to the log, and the counts."""

    explored: Index
    records: np.ndarray
    report: CommitReport


def make_records(boxes: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """Return rows (m, 5) float32 of the record log: xywh in pixels, confidence."""
    return np.concatenate([boxes, confidences[:, None]], 1).astype(np.float32)


def merge(index: Index, log: np.ndarray, lengths: np.ndarray, keys: Index, results: PseudoLabels) -> Merged:
    """Merge results in order: insert a new frame, replace a known one if the confidence is strictly higher.

    Key frames are never changed. (The published guard compares an index with frame ids and blocks some relay frames
    too.) Boxes are rounded to 0.1 px and confidences to 1e-4 before the comparison.

    Args:
        index, log: the explored frames, and the records that they point to, (r, 5) float32.
        lengths: (P,) frames of each target.
        keys: the key frames, as an index whose `records` are not used.
        results: rows of targets 0..P-1 and frames inside them, with finite boxes and confidences.

    Raises:
        ValueError: a result has a target or frame that does not exist, or a number that is not finite.
    """
    _check(results, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    rows = offsets[results.target_index] + results.frame.astype(np.int32)
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    steps = np.rint(results.confidence[order].astype(np.float64) * CONFIDENCE_STEPS).astype(np.int64)

    first = np.diff(rows, prepend=-1) > 0
    group = np.cumsum(first) - 1  # the results of one frame are a group
    target, frame = results.target_index[order[first]], results.frame[order[first]]
    place, known = _find(index, target, frame)
    stored = np.full(len(target), -1)
    stored[known] = np.rint(log[index.records[place[known]], 4].astype(np.float64) * CONFIDENCE_STEPS)
    stored[_find(keys, target, frame)[1]] = _NEVER

    # Groups ascend, so one running maximum over group * _NEVER + confidence runs within each group.
    best = np.maximum.accumulate(group * _NEVER + steps) - group * _NEVER
    before = np.where(first, -1, np.roll(best, 1))
    accepted = np.flatnonzero(steps > np.maximum(before, stored[group]))
    winners = accepted[np.diff(group[accepted], append=len(target)) > 0]  # the last accepted of each group

    changed = group[winners]
    boxes = np.rint(results.box[order[winners]].astype(np.float64) * BOX_STEPS) / BOX_STEPS + 0.0  # no -0
    records = make_records(boxes, steps[winners] / CONFIDENCE_STEPS)
    numbers = np.arange(len(log), len(log) + len(records), dtype=np.int32)
    merged = _put(index, target[changed], frame[changed], place[changed], known[changed], numbers)
    inserted = int((~known[changed]).sum())
    replaced = len(accepted) - inserted
    return Merged(merged, records, CommitReport(inserted, replaced, len(rows) - inserted - replaced))


def find_gaps(index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Find where the gaps (unexplored frames between explored ones) begin.

    Returns:
        bounds: (P + 1,) int32; `gaps[bounds[i]:bounds[i + 1]]` belong to target i.
        gaps: (g,) int32 sorted positions j in the `ids` of a target such that frame `ids[j] + 1` is not explored but a
            later one is.
    """
    wide = np.diff(index.ids) > 1
    wide[index.bounds[1:-1] - 1] = False  # from one target to the next
    gaps = np.flatnonzero(wide).astype(np.int32)
    bounds = np.searchsorted(gaps, index.bounds).astype(np.int32)
    return bounds, gaps - np.repeat(index.bounds[:-1], np.diff(bounds))


def _check(results: PseudoLabels, lengths: np.ndarray) -> None:
    target, frame, box, confidence = results
    fine = (target >= 0) & (target < len(lengths))
    fine[fine] = (frame[fine] >= 0) & (frame[fine] < lengths[target[fine]])
    fine &= np.isfinite(box).all(1) & (confidence >= 0) & (confidence < 1e4)
    if not fine.all():
        i = int(np.argmin(fine))
        raise ValueError(
            f"result {i} is frame {frame[i]} of target {target[i]}, box {box[i]}, confidence {confidence[i]}: "
            "there is no such frame, or a number is not finite"
        )


def _find(index: Index, target: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the place of each frame among the entries of its target, and whether the frame is there."""
    stride = int(max(index.ids.max(initial=0), frame.max(initial=0))) + 1
    owner = np.repeat(np.arange(len(index.bounds) - 1), np.diff(index.bounds))
    entries, wanted = owner * stride + index.ids, target * stride + frame
    place = np.searchsorted(entries, wanted)
    return place, np.append(entries, -1)[place] == wanted


def _put(
    index: Index, target: np.ndarray, frame: np.ndarray, place: np.ndarray, known: np.ndarray, records: np.ndarray
) -> Index:
    """Point known entries at `place` to the new records; insert the other entries before `place`."""
    before = np.cumsum(~known) - ~known  # entries inserted before each
    at = place + before
    inserted = at[~known]
    old = np.ones(len(index.ids) + len(inserted), bool)
    old[inserted] = False
    ids, merged = np.empty(len(old), np.int32), np.empty(len(old), np.int32)
    ids[old], merged[old] = index.ids, index.records
    ids[inserted], merged[at] = frame[~known], records
    added = np.bincount(target[~known], minlength=len(index.bounds) - 1)
    bounds = index.bounds + np.concatenate([[0], np.cumsum(added)]).astype(np.int32)
    return Index(bounds, ids, merged)
