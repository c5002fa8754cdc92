"""Videos in lock-step: the same boxes as one by one, a batch that stays full, frames and tracks that go wrong."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spot.architectures.backbones.small_cnn import SmallCNN
from spot.architectures.tracker import Tracker
from spot.architectures.transt.network import TransT
from spot.architectures.transt.tracker import TransTTracker
from spot.data.video import Video, VideoSet
from spot.evaluation.vot.supervised import FAILED, INITIALISED, REGION, SKIPPED
from spot.results.result_track import Track
from spot.runtime.errors import SpotError
from spot.tracking.runner import Runner
from spot.tracking.vot_restarts import overlaps
from tests.tracking.fakes import FakeNetwork, FakeTracker, videos_of

LENGTHS = [5, 9, 2, 12, 1, 7]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return videos_of(tmp_path_factory.mktemp("videos"), LENGTHS)


def fake(**kwargs) -> FakeTracker:
    return FakeTracker(FakeNetwork(), **kwargs)


def track(tracker: Tracker, videos: VideoSet, **kwargs) -> dict[str, Track]:
    return {video.name: result for video, result in Runner(tracker, **kwargs).run(list(videos))}


def tiny_transt() -> TransTTracker:
    torch.manual_seed(0)
    backbone = SmallCNN(widths=(8, 8, 16), blocks=(1, 1))
    network = TransT(backbone, template_size=32, search_size=64, d_model=32, heads=2, layers=1, ffn=32)
    return TransTTracker(network.double())  # float32 rounds by 2e-5 pixels, on some processors


@pytest.mark.parametrize(
    "tracker",
    [
        pytest.param(fake(), id="a state of its own beside the template's features"),
        pytest.param(tiny_transt(), id="a network, whose rounding depends on the batch"),
    ],
)
@pytest.mark.parametrize("batch", [pytest.param(3, id="refilled"), pytest.param(9, id="never full")])
def test_lock_step_gives_the_same_boxes(tracker: Tracker, batch: int, videos: VideoSet) -> None:
    alone, together = track(tracker, videos), track(tracker, videos, batch=batch)
    assert alone.keys() == together.keys() == set(videos.names)
    for name, one in alone.items():
        np.testing.assert_allclose(together[name].boxes, one.boxes, atol=1e-9)
        np.testing.assert_allclose(together[name].scores, one.scores, atol=1e-9)
        assert one.boxes.shape == (len(videos[name]), 4)
        assert len(one.boxes) == 1 or np.ptp(one.boxes[:, :2], axis=0).max() > 0.01, "the target must move"


def test_the_first_row_is_the_given_box(videos: VideoSet) -> None:
    for name, result in track(fake(), videos, batch=2).items():
        np.testing.assert_array_equal(result.boxes[0], videos[name].boxes[0])
        assert result.codes.tolist() == [INITIALISED] + [REGION] * (len(videos[name]) - 1)
        assert (result.seconds > 0).all()


def test_slots_are_filled_again(videos: VideoSet) -> None:
    """36 frames in 3 slots, longest first: no tick but the last few may have an idle slot."""
    tracker = fake()
    longest_first = sorted(videos, key=len, reverse=True)
    ended = [video.name for video, _ in Runner(tracker, batch=3).run(longest_first)]
    assert sorted(ended) == sorted(videos.names)
    assert sum(size == 3 for kind, size in tracker.calls if kind == "step") >= 6


def test_frames_are_counted_once(videos: VideoSet) -> None:
    counted: list[int] = []
    track(fake(lost=[2]), videos, batch=4, supervised=True, advance=counted.append)
    assert sum(counted) == sum(LENGTHS)


def broken(video: Video, tmp_path: Path, frames: list[int]) -> Video:
    """The video with some frames cut short."""
    folder = tmp_path / video.name
    folder.mkdir()
    for i in range(len(video)):
        data = Path(video.frames.path(i)).read_bytes()
        (folder / f"{i + 1:08d}.jpg").write_bytes(data[:100] if i in frames else data)
    return replace(video, frames=replace(video.frames, folder=str(folder), names=None))


def test_an_unreadable_frame_repeats_the_last_box(videos: VideoSet, tmp_path: Path, caplog) -> None:
    video = broken(videos[3], tmp_path, [4, 5])
    runner = Runner(fake(), batch=2, corrupt_fraction=0.5)
    with caplog.at_level(logging.WARNING):
        results = {v.name: t for v, t in runner.run([video, videos[1]])}
    boxes = results[video.name].boxes
    np.testing.assert_array_equal(boxes[[4, 5]], boxes[[3, 3]])
    assert (boxes[6] != boxes[5]).any(), "it goes on afterwards"
    assert runner.corrupt == 2
    assert "00000005.jpg" in caplog.text
    np.testing.assert_array_equal(results[videos.names[1]].boxes, track(fake(), videos)[videos.names[1]].boxes)


def test_an_unreadable_first_frame_delays_the_start(videos: VideoSet, tmp_path: Path) -> None:
    video = broken(videos[3], tmp_path, [0])
    ((_, result),) = Runner(fake(), corrupt_fraction=0.5).run([video])
    np.testing.assert_array_equal(result.boxes[:2], videos[3].boxes[[0, 0]])
    assert result.codes[:3].tolist() == [SKIPPED, INITIALISED, REGION]


def test_too_many_unreadable_frames_stop_the_run(videos: VideoSet, tmp_path: Path) -> None:
    video = broken(videos[3], tmp_path, [4, 5])
    with pytest.raises(SpotError, match=r"2 unreadable frames are more than corrupt_fraction=0\.1"):
        list(Runner(fake(), corrupt_fraction=0.1).run([video]))


def test_a_supervised_failure_restarts_five_frames_later(videos: VideoSet) -> None:
    ((_, result),) = Runner(fake(lost=[3]), supervised=True).run([videos[3]])
    codes = [INITIALISED, REGION, REGION, FAILED] + 4 * [SKIPPED] + [INITIALISED, REGION, REGION, FAILED]
    assert result.codes.tolist() == codes
    np.testing.assert_array_equal(result.boxes[8], videos[3].boxes[8])


def test_a_supervised_restart_waits_for_a_true_box(videos: VideoSet) -> None:
    boxes = videos[3].boxes.copy()
    boxes[8:10] = 0
    ((_, result),) = Runner(fake(lost=[3]), supervised=True).run([replace(videos[3], boxes=boxes)])
    assert result.codes.tolist()[3:] == [FAILED] + 6 * [SKIPPED] + [INITIALISED, REGION]


def test_without_supervision_nothing_restarts(videos: VideoSet) -> None:
    ((_, result),) = Runner(fake(lost=[3])).run([videos[3]])
    assert result.codes.tolist() == [INITIALISED] + [REGION] * 11


def test_truth_of_the_first_frame_is_enough(videos: VideoSet) -> None:
    """Test servers publish one row; all the others are NaN."""
    boxes = videos[1].boxes.copy()
    boxes[1:] = np.nan
    blind = replace(videos[1], boxes=boxes, visible=np.isfinite(boxes).all(1))
    ((_, result),) = Runner(fake(), batch=2).run([blind])
    np.testing.assert_array_equal(result.boxes, track(fake(), videos)[blind.name].boxes)


def test_tracking_begins_with_the_first_labelled_frame(videos: VideoSet) -> None:
    boxes = videos[3].boxes.copy()
    boxes[:4] = np.nan
    boxes[6:] = np.nan
    ((_, result),) = Runner(fake()).run([replace(videos[3], boxes=boxes)])
    assert result.codes.tolist() == 4 * [SKIPPED] + [INITIALISED] + 7 * [REGION]
    np.testing.assert_array_equal(result.boxes[:5], np.tile(boxes[4], (5, 1)))


@pytest.mark.parametrize(
    ("first", "bad", "says"),
    [
        pytest.param(np.nan, 0.0, "no frame has a box", id="no box"),
        pytest.param(0.0, 0.0, "no frame has a box", id="no box with an area"),
        pytest.param(None, np.nan, "not finite", id="diverged network"),
    ],
)
def test_stops_in_one_line(videos: VideoSet, first: float | None, bad: float, says: str) -> None:
    boxes = videos[1].boxes.copy()
    if first is not None:
        boxes[:] = first
    with pytest.raises(SpotError, match=says):
        list(Runner(fake(bad=bad)).run([replace(videos[1], boxes=boxes)]))


@pytest.mark.parametrize(
    ("box", "polygon", "expected"),
    [
        pytest.param([0, 0, 30, 30], None, True, id="plain overlap"),
        pytest.param([30, 20, 10, 10], None, False, id="touching sides share no area"),
        pytest.param([70, 60, 10, 10], None, False, id="apart"),
        pytest.param([21, 21, 2, 2], None, True, id="one inside the other"),
        pytest.param([20, 20, 2, 2], [25, 20, 30, 25, 25, 30, 20, 25], False, id="bound overlaps, polygon not"),
        pytest.param([23, 23, 9, 9], [25, 20, 30, 25, 25, 30, 20, 25], True, id="polygon overlaps"),
        pytest.param([0, 0, 1, 1], [np.nan] * 8, True, id="no truth is no failure"),
    ],
)
def test_overlap_with_the_truth(box: list, polygon: list | None, expected: bool, videos: VideoSet) -> None:
    truth = np.tile(np.array([20, 20, 10, 10], np.float32), (1, 1))
    polygons = None if polygon is None else np.array([polygon], np.float32)
    video = replace(videos[4], boxes=truth, polygons=polygons)
    assert overlaps(np.array(box, float), video, 0, (80, 96)) is expected


def test_overlap_outside_the_image_does_not_count(videos: VideoSet) -> None:
    video = replace(videos[4], boxes=np.array([[90, 70, 20, 20]], np.float32))
    assert overlaps(np.array([90.0, 70, 20, 20]), video, 0, (80, 96))
    assert not overlaps(np.array([97.0, 70, 20, 20]), video, 0, (80, 96))
