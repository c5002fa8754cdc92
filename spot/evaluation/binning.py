"""Every frame into one bin per measure: how many overlap thresholds it passes, which distance threshold it meets first.

A histogram of these bins per video holds all that the curves need. Bins are guessed in single precision, block by block
so that the numbers stay in the cache, for many trackers on the same truth; the few frames too close to a threshold to
tell are reported and settled afterwards with the exact formulas of `measures.py`. So the numbers are the toolkits' own,
at a fraction of the time that a loop over videos and thresholds takes.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.measures import EPSILON, ERROR_THRESHOLDS, FINE_OVERLAP_THRESHOLDS
from spot.evaluation.protocols import Protocol
from spot.runtime.errors import SpotError

BLOCK = 32768
"""Frames a block, about: larger blocks leave the cache, smaller ones spend their time in calls."""
OVERLAP_BINS, ERROR_BINS = len(FINE_OVERLAP_THRESHOLDS) + 1, len(ERROR_THRESHOLDS) + 1
# A histogram row: overlaps of frames that AO leaves out, overlaps of those it counts, then the two errors.
FIRST_BIN = (0, OVERLAP_BINS, 2 * OVERLAP_BINS, 2 * OVERLAP_BINS + ERROR_BINS)
BINS = 2 * OVERLAP_BINS + 2 * ERROR_BINS
LANES = 2
"""Histograms that neighbouring frames take turns in: frames alike would wait for each other to add to one counter."""
DOUBT = 2e-6
"""How near to a threshold, relative to it, a guess is not trusted; guesses are right to a fifth of this."""
OUT_OF_REACH = 1e9


class Doubts(NamedTuple):
    """Frames that single precision cannot tell.

    Attributes:
        measure: (k,) 0..2: overlap, centre error, normalised centre error.
        row: (k,) of the benchmark.
        first: (k,) column of the histogram in which the measure's bin 0 lies for this frame.
        bin: (k,) the bin they were put into.
    """

    measure: np.ndarray
    row: np.ndarray
    first: np.ndarray
    bin: np.ndarray


class Buffers:
    """Memory for blocks of up to so many frames, used again and again: fresh memory has to be zeroed by the system."""

    def __init__(self, frames: int) -> None:
        self.double = np.empty(5 * frames)
        self.single = np.empty(12 * frames, np.float32)
        self.whole = np.empty(3 * frames, np.int32)
        self.flags = np.zeros(3 * frames + 7, bool)
        self.zero = np.zeros(2 * frames, np.float32)


class Block:
    """A run of whole videos on which any number of trackers can be binned.

    Args:
        buffers: for at least the n frames of these videos.
        truth: of these videos.
        start: their first row in the benchmark.
        protocol: the dialect.
        counted: (n,) bool, frames that average overlap is taken over.
        given: (3, n) int8, the bin of each measure where the truth alone decides it, else -1.
    """

    def __init__(
        self,
        buffers: Buffers,
        truth: GroundTruth,
        start: int,
        protocol: Protocol,
        counted: np.ndarray,
        given: np.ndarray,
    ) -> None:
        n = len(truth.boxes)
        self.names, self.rows = truth.names, slice(start, start + n)
        self.starts = truth.offsets[:-1]
        self.given = given.ravel()
        true = truth.boxes.T.copy()
        if (unknown := np.isnan(true)).any():
            true[unknown] = 0
        # A frame that fails every measure is one whose target is out of reach; other given bins are set one by one.
        failed = (given == np.array([[0], [ERROR_BINS - 1], [ERROR_BINS - 1]], np.int8)).all(axis=0)
        true[:, np.flatnonzero(failed)] = [[OUT_OF_REACH], [0], [1], [1]]
        self.others = np.flatnonzero((given >= 0) > failed)
        self.other_bins = self.given[self.others]
        self.last = 1.0 if protocol.inclusive else 0.0
        self.corners, sizes = true[:2], true[2:]
        self.ends = self.corners + sizes - self.last
        self.doubled = self.corners + self.ends  # twice the middles, and so is what is compared with them
        self.areas = (sizes[0] * sizes[1] + EPSILON).astype(np.float32)
        sides = np.maximum(sizes, protocol.least_size or 1e-12).astype(np.float32)
        self.steps = np.float32(50 * (1 + DOUBT)) / sides
        self.weights = counted.astype(np.float32)
        first = np.empty((3, n), np.int32)
        first[0] = counted * np.int32(FIRST_BIN[1])
        first[1:] = np.array([[FIRST_BIN[2]], [FIRST_BIN[3]]])
        self.first = first.ravel()
        lane = np.repeat(np.arange(len(self.names), dtype=np.int32) * LANES, truth.lengths)
        for turn in range(1, LANES):
            lane[turn::LANES] += turn
        self.base = first + lane * BINS
        self.ending, self.other = buffers.double[: 4 * n].reshape(2, 2, n)
        self.overlaps = buffers.double[4 * n : 5 * n]
        self.shared, self.sides, self.away = buffers.single[: 6 * n].reshape(3, 2, n)
        self.guess, self.upper = buffers.single[6 * n : 12 * n].reshape(2, 3, n)
        self.flat_bins = buffers.whole[: 3 * n]
        self.bins = self.flat_bins.reshape(3, n)
        self.flags = buffers.flags[: (3 * n + 7) // 8 * 8]
        self.flags[3 * n :] = False
        self.doubtful = self.flags[: 3 * n].reshape(3, n)
        self.zero = buffers.zero[: 2 * n].reshape(2, n)

    def stats(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, Doubts]:
        """Bin one tracker.

        Args:
            boxes: (N, 4) its boxes on all videos of the benchmark.

        Returns:
            (v, BINS) histogram of each video, (v,) sum of the overlaps of the counted frames, and the doubts.

        Raises:
            SpotError: naming a video with NaN in its boxes.
        """
        self._guess(boxes[self.rows].T)
        overlap = self.guess[0]
        np.multiply(overlap, self.weights, out=self.overlaps)
        sums = np.add.reduceat(self.overlaps, self.starts)
        if np.isnan(sums).any():
            raise SpotError(f"{self.names[int(np.argmax(np.isnan(sums)))]}: a predicted box is not a number")
        overlap *= (len(FINE_OVERLAP_THRESHOLDS) - 1) * (1 + DOUBT)
        self._find_bins()
        doubts = self._doubts()
        self.bins += self.base
        histogram = np.bincount(self.flat_bins, minlength=len(self.names) * LANES * BINS)
        return histogram.reshape(len(self.names), LANES, BINS).sum(axis=1), sums, doubts

    def _guess(self, boxes: np.ndarray) -> None:
        """Overlap, distance in pixels and distance in hundredths of the true size.

        Differences of coordinates are taken in double precision, all else is single; the distances are made longer by
        `DOUBT`, for `_find_bins`.
        """
        corner, size = boxes[:2], boxes[2:]
        shared, sides, away = self.shared, self.sides, self.away
        ending = np.add(corner, size, out=self.ending)
        if self.last:
            ending -= self.last
        doubled = np.add(corner, ending, out=self.other)
        np.subtract(doubled, self.doubled, out=away, casting="same_kind")
        np.minimum(ending, self.ends, out=ending)
        starting = np.maximum(corner, self.corners, out=self.other)
        if self.last:
            ending -= starting
            np.add(ending, self.last, out=shared, casting="same_kind")
        else:
            np.subtract(ending, starting, out=shared, casting="same_kind")
        np.maximum(shared, self.zero, out=shared)
        sides[...] = size
        both = np.multiply(shared[0], shared[1], out=shared[0])
        union = np.multiply(sides[0], sides[1], out=sides[0])
        union += self.areas
        union -= both
        np.divide(both, union, out=self.guess[0])
        np.multiply(away, self.steps, out=sides)
        cv2.magnitude(away[:1], away[1:], self.guess[1:2])
        cv2.magnitude(sides[:1], sides[1:], self.guess[2:])
        self.guess[1] *= 0.5 * (1 + DOUBT)
        cv2.threshold(self.guess[1:], ERROR_BINS - 1.5, 0, cv2.THRESH_TRUNC, self.guess[1:])

    def _find_bins(self) -> None:
        """Round up. What lies next to a threshold, on either side, was made to lie just beyond it."""
        np.ceil(self.guess, out=self.upper)
        self.bins[...] = self.upper
        self.upper -= self.guess
        np.greater(self.upper, 1 - 2 * OVERLAP_BINS * DOUBT, out=self.doubtful)
        self.flat_bins[self.others] = self.other_bins

    def _doubts(self) -> Doubts:
        """Eight flags are looked at in one go, since few are set."""
        words = np.flatnonzero(self.flags.view(np.uint64) != 0)
        where = (words[:, None] * 8 + np.arange(8)).ravel()
        where = where[self.flags[where]]
        where = where[self.given[where] < 0]
        measure, row = np.divmod(where, self.bins.shape[1])
        return Doubts(measure, row + self.rows.start, self.first[where], self.flat_bins[where])
