"""The candidates for one target's box in every frame, before they are joined into one box."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from spot.annotation.passes import Tracked


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates for the boxes of one target in the m frames `first` to `first + m - 1` of its video.

    Boxes are (m, 4) float32 xywh in image pixels, NaN where there is none; scores are (m,) float32 in [0, 1], 0 there.

    Attributes:
        first: the first of the frames.
        labelled: (k,) int64 labelled frames, ascending.
        labels: (k, 4) float32 human boxes; NaN where the target is absent.
        forward, forward_scores: the tracker's, started from the label before.
        forward_lowest: the lowest score of that pass since its label. A tracker that was lost can be sure of another object.
        backward, backward_scores, backward_lowest: the tracker's, started from the label after.
        relay, relay_scores: the training run's pseudo labels (sampler state) and their predicted IoU.
    """

    first: int
    labelled: np.ndarray
    labels: np.ndarray
    forward: np.ndarray
    forward_scores: np.ndarray
    forward_lowest: np.ndarray
    backward: np.ndarray
    backward_scores: np.ndarray
    backward_lowest: np.ndarray
    relay: np.ndarray
    relay_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.forward)

    @property
    def frames(self) -> np.ndarray:
        """(m,) int64 frame numbers."""
        return np.arange(self.first, self.first + len(self))


BOXES = ("forward", "backward", "relay")
SCORES = ("forward_scores", "forward_lowest", "backward_scores", "backward_lowest", "relay_scores")


def empty_candidates(length: int, labelled: np.ndarray, labels: np.ndarray, first: int = 0) -> Candidates:
    """Return candidates of `length` frames: labels, but no tracked boxes yet."""
    boxes = {name: np.full((length, 4), np.nan, np.float32) for name in BOXES}
    scores = {name: np.zeros(length, np.float32) for name in SCORES}
    return Candidates(first, np.asarray(labelled, np.int64), np.asarray(labels, np.float32), **boxes, **scores)


def fill_candidates(candidates: Candidates, tracked: Iterable[Tracked]) -> None:
    """Write the tracked passes of a target into its candidates.

    A labelled frame gets the box with which the tracker from the neighbouring label arrives there.
    """
    for part in tracked:
        places = part.of.indices - candidates.first
        way = "forward" if part.of.step == 1 else "backward"
        getattr(candidates, way)[places] = part.boxes
        getattr(candidates, f"{way}_scores")[places] = part.scores
        getattr(candidates, f"{way}_lowest")[places] = np.minimum.accumulate(part.scores)


def held_out(candidates: Candidates) -> list[tuple[Candidates, np.ndarray]]:
    """Hide each label with a box at which a pass arrives: return candidates of its frame without it, and the human box.

    In a labelled frame stands what the trackers found that were started from the neighbouring labels. The training run's
    pseudo labels are left out: the run has learnt from this very label.
    """
    examples = []
    for i, (frame, box) in enumerate(zip(candidates.labelled.tolist(), candidates.labels, strict=True)):
        at = slice(frame - candidates.first, frame - candidates.first + 1)
        forward, backward = candidates.forward[at], candidates.backward[at]
        if not np.isfinite(box).all() or not (np.isfinite(forward).any() or np.isfinite(backward).any()):
            continue
        others = np.arange(len(candidates.labelled)) != i
        alone = empty_candidates(1, candidates.labelled[others], candidates.labels[others], first=frame)
        tracked = {name: getattr(candidates, name)[at] for name in (*BOXES, *SCORES) if not name.startswith("relay")}
        example = replace(alone, **tracked)
        examples.append((example, box))
    return examples
