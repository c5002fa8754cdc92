"""One-pass evaluation spelled out: frame by frame and threshold by threshold, a function for each toolkit's rules.

Slow and simple on purpose: it shares no code with `spot.evaluation`, so that agreement means something.
"""

from __future__ import annotations

import math

import numpy as np

Box = tuple[float, float, float, float]


def overlap(truth: Box, box: Box, last: float = 0.0, epsilon: float = 0.0) -> float:
    sides = [
        min(box[i] + box[i + 2] - last, truth[i] + truth[i + 2] - last) - max(box[i], truth[i]) + last for i in (0, 1)
    ]
    shared = max(sides[0], 0) * max(sides[1], 0)
    union = box[2] * box[3] + truth[2] * truth[3] - shared + epsilon
    return shared / union if union else math.nan


def center(box: Box) -> tuple[float, float]:
    return box[0] + (box[2] - 1) / 2, box[1] + (box[3] - 1) / 2


def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)


def scaled(box: Box, truth: Box, extra: float) -> tuple[float, float]:
    x, y = center(box)
    return x / (truth[2] + extra), y / (truth[3] + extra)


def pysot(truth, boxes, visible, family, positions):
    overlaps, errors, normalized = [], [], []
    for t, b, seen in zip(truth, boxes, visible, strict=True):
        if family == "lasot" and not seen:
            continue
        usable = all(v > 0 for v in (t if positions else t[2:]))
        overlaps.append(min(1, max(0, overlap(t, b))) if usable else -1)
        errors.append(distance(center(t), center(b)) if all(v > 0 for v in center(t)) else -1)
        with np.errstate(all="ignore"):
            own = scaled(np.array(t), t, 1e-16)
            normalized.append(distance(own, scaled(b, t, 1e-16)) if all(v > 0 for v in own) else -1)
    return overlaps, errors, normalized, len(truth)


def pytracking(truth, boxes, visible, family, positions, exclude_invalid):
    boxes = [list(b) for b in boxes]
    for i in range(1, len(boxes)):
        if 0 in boxes[i][2:] and not any(math.isnan(v) for v in truth[i]):
            boxes[i] = boxes[i - 1]
    boxes[0] = list(truth[0])
    overlaps, errors, normalized, valid = [], [], [], 0
    for t, b, seen in zip(truth, boxes, visible, strict=True):
        hidden = family == "lasot" and not seen
        good = all(v > 0 for v in (t if positions else t[2:])) and not hidden
        valid += good
        overlaps.append(overlap(t, b, last=1.0) if good else -1)
        errors.append(distance(center(t), center(b)) if good else (-1 if family == "uav" else math.inf))
        normalized.append(distance(scaled(t, t, 0), scaled(b, t, 0)) if good else -1)
        if hidden:
            errors[-1] = normalized[-1] = math.inf
    return overlaps, errors, normalized, valid if exclude_invalid else len(truth)


def got10k(truth, boxes):
    boxes = [truth[0], *boxes[1:]]
    overlaps, errors, normalized = [], [], []
    for t, b in zip(truth, boxes, strict=True):
        if any(math.isnan(v) for v in t):
            continue
        overlaps.append(min(1, max(0, overlap(t, b, epsilon=np.finfo(float).eps))))
        errors.append(distance(center(t), center(b)))
        (tx, ty), (bx, by) = center(t), center(b)
        normalized.append(math.sqrt(((tx - bx) / max(1.0, t[2])) ** 2 + ((ty - by) / max(1.0, t[3])) ** 2))
    return overlaps, errors, normalized, len(overlaps)


def curves(protocol: str, truth, boxes, visible, family: str = "other", exclude_invalid: bool = False):
    """Success, precision and normalised precision curves of one video."""
    truth, boxes = [tuple(t) for t in truth.tolist()], [tuple(b) for b in boxes.tolist()]
    if protocol in ("pysot", "pysot_original"):
        values = pysot(truth, boxes, visible, family, protocol == "pysot_original")
    elif protocol in ("pytracking", "stark"):
        values = pytracking(truth, boxes, visible, family, protocol == "pytracking", exclude_invalid)
    else:
        values = got10k(truth, boxes)
    overlaps, errors, normalized, frames = values
    steps = np.linspace(0, 0.5, 51) if protocol == "got10k" else np.arange(51) / 100
    return (
        np.array([sum(v > t for v in overlaps) / frames for t in np.arange(0, 1.05, 0.05)]),
        np.array([sum(v <= t for v in errors) / frames for t in range(51)]),
        np.array([sum(v <= t for v in normalized) / frames for t in steps]),
    )
