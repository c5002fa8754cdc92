"""The rules of the toolkits for one-pass evaluation: which frames count, and how.

The same result files give different numbers in different toolkits. They disagree on frames whose true box is empty, touches
the image border or is missing, on the first frame, on the denominator, and on result files of another length. Every
toolkit is one `Protocol` here (docs/evaluation.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.measures import EPSILON, NORMALIZED_THRESHOLDS, centers
from spot.runtime.errors import SpotError

MEASURED, HIT, MISSED = 0, 1, 2
LENGTHS = ("exact", "cut_or_pad", "cut_both")
"""`exact` refuses; `cut_or_pad` cuts extra rows and adds zero boxes; `cut_both` leaves out frames without a row."""


@dataclass(frozen=True)
class FrameMask:
    """The part of each frame's evaluation that depends only on the ground truth.

    Attributes:
        overlap, error, normalized: (n,) int, MEASURED, or HIT or MISSED whatever the tracker predicts.
        frames: (v,) int64 denominator of each video.
    """

    overlap: np.ndarray
    error: np.ndarray
    normalized: np.ndarray
    frames: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """One toolkit's way of evaluating.

    Attributes:
        name: value of `protocol=`.
        source: the toolkit, for the foot of the tables.
        frame_mask: function from ground truth to `FrameMask`.
        first_is_true: the first predicted box is replaced by the true one.
        repeat_empty: a predicted box without area is replaced by the one before.
        bounded: AO is taken over boxes bounded by the frame.
        lengths: what happens to result files with more or fewer rows than frames, one of `LENGTHS`.
        inclusive, clip, union_epsilon, size_epsilon, least_size: see `measures`.
        normalized_thresholds: (51,) as the toolkit computes them.
    """

    name: str
    source: str
    frame_mask: Callable[[GroundTruth], FrameMask]
    first_is_true: bool = False
    repeat_empty: bool = False
    bounded: bool = False
    lengths: str = "exact"
    inclusive: bool = False
    clip: bool = True
    union_epsilon: float = 0.0
    size_epsilon: float = 0.0
    least_size: float | None = None
    normalized_thresholds: np.ndarray = field(default_factory=lambda: NORMALIZED_THRESHOLDS)


def _pysot(truth: GroundTruth, positions: bool) -> FrameMask:
    """Let frames without a usable box fail but hit in both precisions; absent LaSOT frames fail everywhere."""
    # The toolkit asks the same of centres divided by the sizes, which are never negative.
    centred = np.all(centers(truth.boxes) > 0, axis=1)
    absent = ~truth.visible & (truth.family in ("lasot", "lasot_ext"))
    overlap = np.where(_has_box(truth, positions) & ~absent, MEASURED, MISSED)
    error = np.where(absent, MISSED, np.where(centred, MEASURED, HIT))
    return FrameMask(overlap, error, error, truth.lengths)


def _has_box(truth: GroundTruth, positions: bool) -> np.ndarray:
    """Return (n,) bool: width and height are positive, with `positions` x and y too."""
    return np.all(truth.boxes[:, 0 if positions else 2 :] > 0, axis=1)


def _pytracking(truth: GroundTruth, positions: bool, exclude_invalid: bool = False) -> FrameMask:
    """Let frames without a usable box fail, miss in precision (hit on UAV123) and hit in normalised precision.

    Frames that LaSOT and its extension flag as absent are not usable. In normalised precision they miss on LaSOT only.
    """
    valid = _has_box(truth, positions)
    if truth.family in ("lasot", "lasot_ext"):
        valid &= truth.visible
    hidden = ~truth.visible & (truth.family == "lasot")
    return FrameMask(
        overlap=np.where(valid, MEASURED, MISSED),
        error=np.where(valid, MEASURED, HIT if truth.family == "uav" else MISSED),
        normalized=np.where(hidden, MISSED, np.where(valid, MEASURED, HIT)),
        frames=truth.per_video(valid) if exclude_invalid else truth.lengths,
    )


def _got10k(truth: GroundTruth) -> FrameMask:
    """Leave out frames without annotation; measure all others, also frames where the target is absent."""
    annotated = ~np.isnan(truth.boxes).any(axis=1)
    measured = np.where(annotated, MEASURED, MISSED)
    return FrameMask(measured, measured, measured, truth.per_video(annotated))


_PYSOT = Protocol("pysot", "pysot-toolkit as published with SPOT", partial(_pysot, positions=False), size_epsilon=1e-16)
_PYTRACKING = Protocol(
    "pytracking",
    "pytracking",
    partial(_pytracking, positions=True),
    first_is_true=True,
    repeat_empty=True,
    lengths="cut_or_pad",
    inclusive=True,
    clip=False,
)
_STARK = "pytracking's analysis as changed by STARK"
_GOT10K = Protocol(
    "got10k",
    "GOT-10k toolkit",
    _got10k,
    first_is_true=True,
    bounded=True,
    lengths="cut_both",
    union_epsilon=EPSILON,
    least_size=1.0,
    normalized_thresholds=np.linspace(0, 0.5, 51),
)
PROTOCOLS = {
    "pysot": _PYSOT,
    "pysot_original": replace(
        _PYSOT, name="pysot_original", source="pysot-toolkit, unmodified", frame_mask=partial(_pysot, positions=True)
    ),
    "pytracking": _PYTRACKING,
    "stark": replace(_PYTRACKING, name="stark", source=_STARK, frame_mask=partial(_pytracking, positions=False)),
    "got10k": _GOT10K,
}


def get_protocol(name: str, exclude_invalid: bool = False) -> Protocol:
    """Return the protocol of that name, one of `PROTOCOLS`.

    Args:
        name: the protocol.
        exclude_invalid: divide by the frames with a valid box instead of all frames, an option of pytracking and stark;
            got10k always does so and pysot never.

    Raises:
        SpotError: an unknown name; `exclude_invalid` where the toolkit has no such option.
    """
    if name not in PROTOCOLS:
        raise SpotError(f"protocol={name} is unknown; choose from: {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if not exclude_invalid:
        return protocol
    if name not in ("pytracking", "stark"):
        raise SpotError(f"exclude_invalid=true is an option of pytracking and stark, not of protocol={name}")
    frame_mask = partial(_pytracking, positions=name == "pytracking", exclude_invalid=True)
    return replace(protocol, frame_mask=frame_mask, source=f"{protocol.source}, frames without a valid box left out")


def default_protocol(benchmark: str) -> str:
    """Name the protocol of the benchmark's own toolkit: GOT-10k has its own; the others follow OTB's rules, as pysot does."""
    return "got10k" if benchmark.lower().startswith("got") else "pysot"
