"""Every frame into one bin per measure: how many overlap thresholds it passes, which distance threshold it meets first.

A histogram of these bins per video holds all that the curves need. Bins are guessed in single precision, block by block
so that the numbers stay in the cache, for many trackers on the same truth; the few frames too close to a threshold to
tell are reported and settled afterwards with the exact formulas of `measures.py`. So the numbers are the toolkits' own,
at a fraction of the time that a loop over videos and thresholds takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spot.errors import SpotError
from spot.evaluation.measures import EPSILON, ERROR_THRESHOLDS, FINE_OVERLAP_THRESHOLDS
from spot.evaluation.protocols import Protocol
from spot.evaluation.truth import Truth

BLOCK = 32768
"""Frames a block, about: larger blocks leave the cache, smaller ones spend their time in calls."""
OVERLAP_BINS, ERROR_BINS = len(FINE_OVERLAP_THRESHOLDS) + 1, len(ERROR_THRESHOLDS) + 1
# A histogram row: overlaps of frames that AO leaves out, overlaps of those it counts, then the two errors.
FIRST_BIN = (0, OVERLAP_BINS, 2 * OVERLAP_BINS, 2 * OVERLAP_BINS + ERROR_BINS)
BINS = 2 * OVERLAP_BINS + 2 * ERROR_BINS
LANES = 4
"""Histograms that neighbouring frames take turns in: frames alike would wait for each other to add to one counter."""
DOUBT = 1e-5
"""How near to a threshold, relative to it, a guess is not trusted; guesses are right to a twentieth of this."""
OUT_OF_REACH = 1e9
TOUCH = 1e-3
"""Boxes whose edges lie within this many pixels of touching may or may not overlap."""


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


class Block:
    """A run of whole videos, and the buffers to bin any number of trackers on it.

    Args:
        truth: of these videos.
        start: their first row in the benchmark.
        protocol: the dialect.
        counted: (n,) bool, frames that average overlap is taken over.
        given: (3, n) int8, the bin of each measure where the truth alone decides it, else -1.
    """

    def __init__(self, truth: Truth, start: int, protocol: Protocol, counted: np.ndarray, given: np.ndarray) -> None:
        n = len(truth.boxes)
        self.names, self.rows = truth.names, slice(start, start + n)
        self.starts = truth.offsets[:-1]
        self.given = given
        self.true = truth.boxes.T.copy()
        self.true[np.isnan(self.true)] = 0
        # A frame that fails every measure is one whose target is out of reach; other given bins are set one by one.
        failed = (given[0] == 0) & (given[1:] == ERROR_BINS - 1).all(axis=0)
        self.true[:, failed] = [[OUT_OF_REACH], [0], [1], [1]]
        self.others = np.flatnonzero((given >= 0) & ~failed)
        self.other_bins = given.ravel()[self.others]
        sizes = self.true[2:]
        self.sides = sizes.astype(np.float32)
        self.areas = (sizes[0] * sizes[1] + EPSILON).astype(np.float32)
        self.steps = (100 * (1 + DOUBT) / np.maximum(sizes, protocol.least_size or 1e-12)).astype(np.float32)
        self.weights = counted.astype(np.float32)
        self.first = np.empty((3, n), np.int32)
        self.first[0] = counted * np.int32(FIRST_BIN[1])
        self.first[1:] = np.array([[FIRST_BIN[2]], [FIRST_BIN[3]]])
        lane = np.repeat(np.arange(len(self.names), dtype=np.int32) * LANES, truth.lengths)
        lane += np.arange(n, dtype=np.int32) % LANES
        self.base = self.first + lane * BINS
        # Buffers, so that no memory is asked for (and zeroed by the system) for every tracker.
        self.apart, self.overlaps = np.empty((4, n)), np.empty(n)
        self.single = np.empty((4, 2, n), np.float32)
        self.guess, self.upper = np.empty((3, n), np.float32), np.empty((3, n), np.float32)
        self.bins = np.empty((3, n), np.int32)
        self.flags = np.zeros((3 * n + 7) // 8 * 8, bool)
        self.doubtful = self.flags[: 3 * n].reshape(3, n)
        self.zero, self.beyond = np.zeros((2, n), np.float32), np.full((2, n), ERROR_BINS - 1.5, np.float32)

    def tally(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, Doubts]:
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
        counted = np.multiply(overlap, self.weights, out=self.upper[0])
        np.copyto(self.overlaps, counted)
        sums = np.add.reduceat(self.overlaps, self.starts)
        if np.isnan(sums).any():
            raise SpotError(f"{self.names[int(np.argmax(np.isnan(sums)))]}: a predicted box is not a number")
        overlap *= (len(FINE_OVERLAP_THRESHOLDS) - 1) * (1 + DOUBT)
        self._find_bins()
        doubts = self._doubts()
        self.bins += self.base
        histogram = np.bincount(self.bins.ravel(), minlength=len(self.names) * LANES * BINS)
        return histogram.reshape(len(self.names), LANES, BINS).sum(axis=1), sums, doubts

    def _guess(self, boxes: np.ndarray) -> None:
        """Overlap, distance in pixels and distance in hundredths of the true size, all in single precision.

        Positions and sizes are taken relative to the true box in double precision first, so that nothing cancels later.
        The distances are made longer by `DOUBT`, for `_find_bins`.
        """
        near, side, ends, other = self.single
        apart = np.subtract(boxes, self.true, out=self.apart)
        np.copyto(near, apart[:2], casting="same_kind")
        np.copyto(side, boxes[2:], casting="same_kind")
        shift = apart[2:]
        shift *= 0.5
        shift += apart[:2]
        np.add(near, side, out=ends)
        np.minimum(ends, self.sides, out=ends)
        np.maximum(near, self.zero, out=near)
        ends -= near
        least = np.minimum(ends[0], ends[1], out=other[0])
        np.abs(least, out=least)
        self.touching = least < TOUCH
        np.maximum(ends, self.zero, out=ends)
        shared = np.multiply(ends[0], ends[1], out=ends[0])
        union = np.multiply(side[0], side[1], out=side[0])
        union += self.areas
        union -= shared
        np.divide(shared, union, out=self.guess[0])
        np.copyto(near, shift, casting="same_kind")
        np.multiply(near, self.steps, out=side)
        near *= near
        side *= side
        pixels, errors = self.guess[1], self.guess[1:]
        np.add(near[0], near[1], out=pixels)
        pixels *= (1 + DOUBT) ** 2
        np.add(side[0], side[1], out=self.guess[2])
        np.sqrt(errors, out=errors)
        np.minimum(errors, self.beyond, out=errors)

    def _find_bins(self) -> None:
        """Round up. What lies next to a threshold, on either side, was made to lie just beyond it."""
        np.ceil(self.guess, out=self.upper)
        np.copyto(self.bins, self.upper, casting="unsafe")
        self.upper -= self.guess
        np.greater(self.upper, 1 - 2 * OVERLAP_BINS * DOUBT, out=self.doubtful)
        self.doubtful[0] |= self.touching
        self.bins.ravel()[self.others] = self.other_bins

    def _doubts(self) -> Doubts:
        """Eight flags are looked at in one go, since few are set."""
        words = np.flatnonzero(self.flags.view(np.uint64) != 0)
        where = (words[:, None] * 8 + np.arange(8)).ravel()
        where = where[self.flags[where]]
        where = where[self.given.ravel()[where] < 0]
        measure, row = np.divmod(where, self.bins.shape[1])
        return Doubts(measure, row + self.rows.start, self.first.ravel()[where], self.bins.ravel()[where])
