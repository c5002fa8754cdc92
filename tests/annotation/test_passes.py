"""Passes: planned between labels, tracked in lock-step, put in their places; labels hidden in turn."""

import numpy as np
import pytest

from spot.annotation.candidates import empty_candidates, fill_candidates, held_out
from spot.annotation.mirrored import track_with_mirror
from spot.annotation.passes import Tracked, plan_passes, track_passes
from spot.architectures.tracker import Tracker, TrackState
from spot.data.folders import list_frames
from spot.runtime.errors import SpotError
from tests.annotation.clips import true_box, write_clips

FRAMES = 12


class FindsTheSquare(Tracker):
    """Stands in for a network: knows the brightest place of each frame."""

    def __init__(self):
        self.network = None
        self.largest = 0

    def start(self, frames, boxes):
        import torch

        self.largest = max(self.largest, len(frames))
        return TrackState(
            (torch.zeros(len(frames), 1),), boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:], np.zeros((len(frames), 3))
        )

    def step(self, state, frames):
        self.largest = max(self.largest, len(frames))
        boxes = []
        for frame, size in zip(frames, state.sizes, strict=True):
            ys, xs = np.nonzero(frame.mean(2) > 121)
            boxes.append([xs.min(), ys.min(), *size])
        return state, np.array(boxes, float), np.full(len(frames), 0.75)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    root = write_clips(tmp_path_factory.mktemp("clips"), FRAMES, ("clip",))
    return list_frames(str(root / "clip"))


def boxes_of(labelled):
    return np.stack([true_box(i) for i in labelled]).astype(np.float32)


def test_passes_run_from_every_label_to_the_next_ones(frames):
    passes = plan_passes("clip", 1, frames, np.array([3, 8]), boxes_of([3, 8]))
    assert [(p.start, p.stop) for p in passes] == [(3, 8), (8, 11), (3, 0), (8, 3)]
    assert passes[2].indices.tolist() == [2, 1, 0]


def test_an_absent_label_ends_passes_and_starts_none(frames):
    boxes = boxes_of([3, 6, 8])
    boxes[1] = np.nan
    passes = plan_passes("clip", 1, frames, np.array([3, 6, 8]), boxes)
    assert [(p.start, p.stop) for p in passes] == [(3, 6), (8, 11), (3, 0), (8, 6)]


def test_a_label_behind_the_end_is_named(frames):
    with pytest.raises(SpotError, match="clip: label in frame 12, but the video has 12 frames"):
        plan_passes("clip", 1, frames, np.array([12]), boxes_of([12]))


def test_every_frame_gets_both_directions_between_labels(frames):
    labelled = np.array([3, 8])
    passes = plan_passes("clip", 1, frames, labelled, boxes_of(labelled))
    tracker, counted = FindsTheSquare(), []
    tracked = list(track_passes(tracker, passes, batch=3, advance=counted.append))
    assert tracker.largest == 3
    assert sum(counted) == sum(len(p.indices) + 1 for p in passes)
    candidates = empty_candidates(FRAMES, labelled, boxes_of(labelled))
    fill_candidates(candidates, tracked)
    forward, backward = (np.isfinite(boxes[:, 0]) for boxes in (candidates.forward, candidates.backward))
    assert np.flatnonzero(forward).tolist() == [4, 5, 6, 7, 8, 9, 10, 11], "to the label 8, and from there to the end"
    assert np.flatnonzero(backward).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    truth = boxes_of(range(FRAMES))
    assert np.abs(candidates.forward - truth)[forward].max() <= 2
    assert candidates.forward_scores[forward].tolist() == [0.75] * 8


def test_a_pass_remembers_its_lowest_score(frames):
    forward, backward = plan_passes("clip", 1, frames, np.array([0, 4]), boxes_of([0, 4]))[::2]
    candidates = empty_candidates(FRAMES, np.array([0, 4]), boxes_of([0, 4]))
    scores = np.array([0.9, 0.5, 0.75, 0.25], np.float32)
    fill_candidates(candidates, [Tracked(each, np.ones((4, 4), np.float32), scores) for each in (forward, backward)])
    assert candidates.forward_lowest[1:5].tolist() == [np.float32(0.9), 0.5, 0.5, 0.25]
    assert candidates.backward_lowest[:4].tolist() == [0.25, 0.5, 0.5, np.float32(0.9)]


def test_each_label_is_hidden_and_met_by_its_neighbours(frames):
    labelled = np.array([3, 8])
    passes = plan_passes("clip", 1, frames, labelled, boxes_of(labelled))
    candidates = empty_candidates(FRAMES, labelled, boxes_of(labelled))
    fill_candidates(candidates, track_passes(FindsTheSquare(), passes, batch=8))
    candidates.relay[:], candidates.relay_scores[:] = 1, 1
    examples = held_out(candidates)
    assert [(example.first, example.labelled.tolist()) for example, _ in examples] == [(3, [8]), (8, [3])]
    (first, truth), (second, _) = examples
    assert np.isfinite(first.backward).all()
    assert not np.isfinite(first.forward).any()
    assert not np.isfinite(first.relay).any(), "the run has learnt from this very label"
    assert np.isfinite(second.forward).all()
    assert np.array_equal(truth, true_box(3))


def test_unreadable_frames_repeat_the_last_box_and_are_unsure(frames, tmp_path):
    root = write_clips(tmp_path, FRAMES, ("clip",))
    (root / "clip" / "0005.jpg").write_bytes(b"no image")
    (only,) = track_passes(
        FindsTheSquare(), plan_passes("clip", 1, list_frames(str(root / "clip")), np.array([0]), boxes_of([0]))
    )
    assert only.scores.tolist() == [0.75] * 4 + [0.0] + [0.75] * 6
    assert np.array_equal(only.boxes[4], only.boxes[3])


def test_a_labelled_frame_that_cannot_be_read_is_named(tmp_path):
    root = write_clips(tmp_path, FRAMES, ("clip",))
    (root / "clip" / "0003.jpg").write_bytes(b"no image")
    frames = list_frames(str(root / "clip"))
    start = next(i for i in range(FRAMES) if frames.path(i).endswith("0003.jpg"))
    with pytest.raises(SpotError, match=r"0003\.jpg: a labelled frame cannot be read"):
        list(track_passes(FindsTheSquare(), plan_passes("clip", 1, frames, np.array([start]), boxes_of([start]))))


class Shifted(FindsTheSquare):
    """Is wrong by the same pixels to the left in every picture, also in a mirrored one."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def step(self, state, frames):
        state, boxes, scores = super().step(state, frames)
        boxes[:, 0] -= self.pixels
        return state, boxes, scores


def test_the_mirrored_pass_cancels_an_error_to_one_side(frames):
    passes = plan_passes("clip", 1, frames, np.array([3, 8]), boxes_of([3, 8]))
    once, twice = [], []
    alone = list(track_passes(Shifted(2), passes, advance=once.append))
    both = list(track_with_mirror(Shifted(2), passes, advance=twice.append))
    assert sum(once) == sum(1 + len(each.indices) for each in passes), "the labelled frame is read too"
    assert sum(twice) == 2 * sum(once)
    for one, two in zip(alone, both, strict=True):
        assert two.of is one.of
        true = boxes_of(one.of.indices)
        assert one.boxes[:, 0] == pytest.approx(true[:, 0] - 2, abs=1e-4)
        assert two.boxes == pytest.approx(true, abs=1e-4)
        assert two.scores == pytest.approx(0.75)


def test_a_box_that_the_mirrored_pass_does_not_confirm_keeps_half_of_its_score(frames):
    passes = plan_passes("clip", 1, frames, np.array([3]), boxes_of([3]))
    (first, _) = track_with_mirror(Shifted(15), passes)
    assert first.boxes[:, 0] == pytest.approx(boxes_of(first.of.indices)[:, 0] - 15, abs=1e-4)
    assert first.scores == pytest.approx(0.375)
