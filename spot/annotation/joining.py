"""Join the candidates of each frame into one box, the most likely one.

A pass that starts at one label ends at the next one, where its error is known. The pass is corrected by this error, in
proportion to the time since its start. A direction with a large error counts less. Then the candidates of each frame
vote. `docs/own_videos.md` has the measurements behind the rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spot.annotation.candidates import Candidates
from spot.data.boxes import box_iou

AGREE = 0.4  # IoU from which two candidates are taken for the same object
ARRIVED = 0.3  # IoU on arrival at the next label from which a pass is corrected by its error there
LEAST_TRUST = 0.2  # factor on the weight of a pass that arrives nowhere near the label; one that arrives well has 1
NEARNESS = 0.2  # what a tracked box weighs at the far end of its gap, over 1 + this at its start
RELAY_WEIGHT = 0.5  # of a pseudo label of the training run beside a tracked box next to its label
INTERPOLATION_WEIGHT = 0.3  # of the interpolated box next to a label
SIZE_WEIGHT = 0.5  # of the interpolated size, in a geometric mean with the tracked one
DRIFT_WEIGHT = 0.5  # of the usual error of the size on arrival, which is taken off where no label follows
DRIFT_FRAMES = 15.0  # frames from a label until that error is there


class Joined(NamedTuple):
    """One box a frame, and the evidence for it.

    Attributes:
        boxes: (m, 4) float64 xywh in image pixels; NaN where nothing is known.
        features: (m, FEATURES) float64, what `spot.annotation.calibration` computes a score from.
        absent: (m,) bool: the target cannot be seen between labels that say so on both sides.
    """

    boxes: np.ndarray
    features: np.ndarray
    absent: np.ndarray


FEATURES = ("agreement", "lower_score", "surer_pass", "with_interpolation", "size_change")
MOST_CHANGE = 3.0  # of the logarithm of a size


class Gaps(NamedTuple):
    """Where frames lie between the labels with a box.

    Attributes:
        before, after: (m,) int64 distance in frames to the label before and after; a large number without one.
        interpolated: (m, 4) float64 linear interpolation; the nearest label's box outside of them.
    """

    before: np.ndarray
    after: np.ndarray
    interpolated: np.ndarray


NONE = 10**9  # distance in place of a missing label


def place_between_labels(candidates: Candidates) -> Gaps:
    """Return distances to the labels on both sides and the box interpolated between them."""
    frames = candidates.frames
    visible = np.all(np.isfinite(candidates.labels), axis=1)
    labelled, boxes = candidates.labelled[visible], candidates.labels[visible].astype(np.float64)
    around = np.concatenate([[-NONE], labelled, [2 * NONE]])
    before = np.minimum(frames - around[np.searchsorted(labelled, frames, side="right")], NONE)
    after = np.minimum(around[np.searchsorted(labelled, frames) + 1] - frames, NONE)
    if not len(labelled):
        return Gaps(before, after, np.full((len(frames), 4), np.nan))
    places = np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
    between = np.stack([np.interp(frames, labelled, column) for column in places.T], axis=1)
    return Gaps(before, after, np.concatenate([between[:, :2] - between[:, 2:] / 2, between[:, 2:]], axis=1))


def join(candidates: Candidates) -> Joined:
    """Join the candidates of one target.

    The candidates of a frame vote: each stands for itself and, with its weight, for those that overlap it. The one with
    most support wins, and those that agree with it are averaged by their weights. A tracked box weighs its tracker's
    score times its nearness to the label that it started from.

    Returns:
        Boxes of all frames, labelled ones included (human boxes as they are).
    """
    gaps = place_between_labels(candidates)
    gap = np.where((gaps.before < NONE) & (gaps.after < NONE), gaps.before + gaps.after, 0)
    near_before = np.where(gap > 0, gaps.after / np.maximum(gap, 1), 1.0)
    near_after = np.where(gap > 0, gaps.before / np.maximum(gap, 1), 1.0)
    nearest = np.minimum(gaps.before, gaps.after)
    forward, forward_trust = close_gaps(candidates, candidates.forward, 1)
    backward, backward_trust = close_gaps(candidates, candidates.backward, -1)
    sources = np.stack([forward, backward, candidates.relay.astype(np.float64), gaps.interpolated], axis=1)
    weights = np.stack(
        [
            candidates.forward_scores * forward_trust * (NEARNESS + near_before),
            candidates.backward_scores * backward_trust * (NEARNESS + near_after),
            RELAY_WEIGHT * candidates.relay_scores,
            INTERPOLATION_WEIGHT / (1 + nearest / 4.0),
        ],
        axis=1,
    ).astype(np.float64)
    known = np.all(np.isfinite(sources), axis=2)
    weights = np.where(known, np.maximum(weights, 1e-6), 0.0)
    filled = np.where(known[..., None], sources, 0.0)
    overlaps = pairwise_iou(filled)
    winner = np.argmax(np.einsum("mij,mj->mi", overlaps, weights) * known, axis=1)
    rows = np.arange(len(winner))
    agreeing = weights * ((overlaps[rows, winner] >= AGREE) & known)
    agreeing[rows, winner] = weights[rows, winner]
    total = np.maximum(agreeing.sum(1, keepdims=True), 1e-12)
    place = np.einsum("mi,mij->mj", agreeing / total, centre_and_size(filled))
    drift = _size_drift(candidates) * np.minimum(nearest / DRIFT_FRAMES, 1)[:, None]
    place[:, 2:] += np.where((gap == 0)[:, None], DRIFT_WEIGHT * drift, 0)
    interpolated = centre_and_size(np.nan_to_num(gaps.interpolated, nan=1.0))
    mixed = (1 - SIZE_WEIGHT) * place[:, 2:] + SIZE_WEIGHT * interpolated[:, 2:]
    place[:, 2:] = np.where(known[:, 3:], mixed, place[:, 2:])
    boxes = box_of(place)
    boxes[~np.any(known, axis=1)] = np.nan
    features = _features(candidates, gaps, boxes, overlaps[:, 0, 1], known[:, :2])
    at = candidates.labelled - candidates.first
    inside = (at >= 0) & (at < len(candidates))
    boxes[at[inside]] = candidates.labels[inside]
    return Joined(boxes, features, absent_frames(candidates))


def close_gaps(candidates: Candidates, tracked: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Correct the passes of one direction by their errors on arrival at the next label.

    Args:
        candidates: with the labels.
        tracked: (m, 4) boxes of that direction; in labelled frames those of the arriving pass.
        step: 1 forward, -1 backward.

    Returns:
        (m, 4) float64 corrected boxes, and (m,) trust in (0, 1]: the IoU on arrival, `LEAST_TRUST` at least; 1 where a
        pass meets no label.
    """
    boxes, trust = tracked.astype(np.float64), np.ones(len(tracked))
    visible = np.all(np.isfinite(candidates.labels), axis=1)
    labels = candidates.labels.astype(np.float64)
    for i in range(len(labels) - 1):
        start, end = (i, i + 1) if step == 1 else (i + 1, i)
        first, last = int(candidates.labelled[i]) + 1, int(candidates.labelled[i + 1])
        at = int(candidates.labelled[end]) - candidates.first
        if not (visible[start] and visible[end]) or not 0 <= at < len(boxes) or not np.isfinite(boxes[at]).all():
            continue
        between = slice(max(first - candidates.first, 0), max(last - candidates.first, 0))
        arrived = float(box_iou(boxes[at], labels[end]))
        trust[between] = max(arrived, LEAST_TRUST)
        if arrived >= ARRIVED:
            since = np.abs(candidates.frames[between] - candidates.labelled[start]) / (last - first + 1)
            error = centre_and_size(labels[end]) - centre_and_size(boxes[at])
            boxes[between] = box_of(centre_and_size(boxes[between]) + since[:, None] * error)
    return boxes, trust


def _size_drift(candidates: Candidates) -> np.ndarray:
    """Return (2,) mean error of log width and height with which passes arrive at labels: human less tracked."""
    at = candidates.labelled - candidates.first
    inside = (at >= 0) & (at < len(candidates))
    human = candidates.labels[inside].astype(np.float64)
    errors = [np.zeros((0, 2))]
    for tracked in (candidates.forward, candidates.backward):
        arrived = tracked[at[inside]].astype(np.float64)
        good = box_iou(np.nan_to_num(arrived), np.nan_to_num(human)) >= ARRIVED
        errors.append((centre_and_size(human[good]) - centre_and_size(arrived[good]))[:, 2:])
    every = np.concatenate(errors)
    return every.mean(0) if len(every) else np.zeros(2)


def centre_and_size(boxes: np.ndarray) -> np.ndarray:
    """Return boxes (..., 4) xywh as centre x, y and logarithms of width and height."""
    sizes = np.maximum(boxes[..., 2:], 1e-3)
    return np.concatenate([boxes[..., :2] + boxes[..., 2:] / 2, np.log(sizes)], axis=-1)


def box_of(values: np.ndarray) -> np.ndarray:
    """Return boxes (..., 4) xywh: the inverse of `centre_and_size`."""
    sizes = np.exp(values[..., 2:])
    return np.concatenate([values[..., :2] - sizes / 2, sizes], axis=-1)


def _features(
    candidates: Candidates, gaps: Gaps, boxes: np.ndarray, overlap: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Return (m, FEATURES): what the probability that a box is right is computed from.

    - `agreement`: IoU of the forward and the backward box; 0 where there is one of them alone.
    - `lower_score`: the lower of their scores.
    - `surer_pass`: each pass has a lowest score since its label; the higher of both.
    - `with_interpolation`: IoU of the joined box and the interpolated one.
    - `size_change`: by how much the sizes of the passes differ from the interpolated one, the smaller difference: that
      of the logarithms of width and height together.
    """
    tracked = np.stack([candidates.forward, candidates.backward], axis=1).astype(np.float64)
    scores = np.stack([candidates.forward_scores, candidates.backward_scores], axis=1).astype(np.float64)
    lowest = np.stack([candidates.forward_lowest, candidates.backward_lowest], axis=1).astype(np.float64)
    sizes = centre_and_size(np.nan_to_num(tracked, nan=1.0))[..., 2:]
    usual = centre_and_size(np.nan_to_num(gaps.interpolated, nan=1.0))[..., 2:]
    changes = np.minimum(np.abs(sizes - usual[:, None]).sum(2), MOST_CHANGE)
    return np.stack(
        [
            np.where(known.all(1), overlap, 0.0),
            _least(scores, known),
            lowest.max(1),
            box_iou(np.nan_to_num(boxes), np.nan_to_num(gaps.interpolated)),
            _least(changes, known),
        ],
        axis=1,
    )


def _least(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the (m,) smallest known one of (m, s) values; 0 where none is known."""
    return np.where(np.any(known, axis=1), np.min(values, axis=1, where=known, initial=np.inf), 0.0)


def absent_frames(candidates: Candidates) -> np.ndarray:
    """Return (m,) bool: labelled absent, or between two labels next to each other that both say absent."""
    if not len(candidates.labelled):
        return np.zeros(len(candidates), bool)
    absent = ~np.all(np.isfinite(candidates.labels), axis=1)
    return (
        np.interp(candidates.frames, candidates.labelled, absent) == 1
    )  # outside of the labels the nearest one counts


def pairwise_iou(boxes: np.ndarray) -> np.ndarray:
    """Return (m, s, s) IoU of every two of the (m, s, 4) boxes of a frame."""
    return box_iou(boxes[:, :, None], boxes[:, None])
