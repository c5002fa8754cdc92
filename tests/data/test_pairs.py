"""Training instances: what they hold, and that they follow from (seed, epoch, index) alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spot.data.boxes import to_image
from spot.data.instances import AugmentSettings, CropSettings
from spot.data.key_frame_sampling import sample_key_frames
from spot.data.pairs import LabelledDataset, UnlabelledDataset
from spot.data.targets import Targets
from spot.runtime.errors import SpotError
from spot.state.store import PseudoLabels, StateStore
from spot.supervision.coarse_boxes import NearestOrInterpolated
from spot.supervision.exploration import Exploration
from spot.supervision.frame_sampler import ReviewAndPropagate
from spot.supervision.relays import KeyFrameRelay

EXPLORE = Exploration()

CROPS = CropSettings(64, 128, 2.0, 4.0, 3.0, 0.25)
PLAIN = AugmentSettings(brightness=0, grey=0, flip=0, angle=0, half_turn=0)


@pytest.fixture
def targets(videos):
    return Targets([videos], [sample_key_frames(videos, 3, seed=0)])


@pytest.fixture
def store(targets, tmp_path):
    return StateStore.create(tmp_path / "state", *targets.state_arguments())


def test_an_instance_follows_from_seed_epoch_and_index(targets, store):
    labelled = LabelledDataset(targets, CROPS, AugmentSettings(), seed=1)
    unlabelled = UnlabelledDataset(targets, store, CROPS, AugmentSettings(), seed=1, explore=EXPLORE)
    for dataset in (labelled, unlabelled):
        for key in ((0, 0), (3, 7)):
            first, again = dataset[key][0], dataset[key][0]
            assert all(np.array_equal(first[name], again[name]) for name in first)
        different = [dataset[0, 0][0], dataset[0, 1][0], dataset[1, 0][0]]
        assert len({item["brightness"].tobytes() for item in different}) == 3


def test_the_kinds_of_instance_draw_from_streams_of_their_own(targets, store):
    labelled = LabelledDataset(targets, CROPS, AugmentSettings(), seed=1)
    unlabelled = UnlabelledDataset(targets, store, CROPS, AugmentSettings(), seed=1, explore=EXPLORE)
    assert labelled[0, 0][0]["brightness"][0] != unlabelled[0, 0][0]["brightness"][0]


def test_labelled_box_is_where_the_target_is(targets):
    """Back in the image, the box of the search crop is a key frame's box: nearly every target lies in its crop."""
    dataset = LabelledDataset(targets, CROPS, PLAIN, seed=0)
    boxes = np.stack([dataset[0, i][0]["box"] for i in range(60)])
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    assert ((centers > 0) & (centers < 128)).all(1).mean() > 0.9
    assert centers.std(0).min() > 10  # jittered, not centred


def test_distinct_pairs_never_repeat_a_frame(targets, monkeypatch):
    """A pair of one frame twice reads one frame; as published that is a third of the pairs with k = 3."""
    read: list[str] = []
    find = targets.frame_path
    monkeypatch.setattr(targets, "frame_path", lambda *place: read.append(find(*place)) or read[-1])

    def repeated(distinct: bool) -> float:
        dataset = LabelledDataset(targets, CROPS, PLAIN, seed=0, distinct=distinct)
        single = 0
        for i in range(150):
            read.clear()
            dataset[0, i]
            single += len(read) == 1
        return single / 150

    assert repeated(distinct=False) == pytest.approx(1 / 3, abs=0.1)
    assert repeated(distinct=True) == 0


def test_unlabelled_crops_show_the_same_frame_around_its_coarse_box(targets, store):
    dataset = UnlabelledDataset(targets, store, CROPS, PLAIN, seed=0, explore=EXPLORE)
    for i in range(20):
        item = dataset[0, i][0]
        middle = torch.tensor([[63.5 - 5, 63.5 - 5, 10, 10]])
        box = to_image(middle, torch.from_numpy(item["teacher_geometry"])[None], 128)[0].numpy()
        keys = store.at(0).target(int(item["target_index"]))
        coarse = NearestOrInterpolated()(keys, int(item["frame"]))
        assert np.allclose(box[:2] + box[2:] / 2, coarse[:2] + coarse[2:] / 2, atol=1e-2)
        assert np.abs(int(item["frame"]) - keys.ids).min() <= 1  # reviewing, or propagating by one
        assert bool(item["propagated"]) == (int(item["frame"]) not in keys.ids)


def test_reviewing_only_stays_on_explored_frames(targets, store):
    dataset = UnlabelledDataset(targets, store, CROPS, PLAIN, seed=0, explore=Exploration(ReviewAndPropagate(0)))
    items = [dataset[0, i][0] for i in range(30)]
    assert not any(item["propagated"] for item in items)


def test_weak_augmentation_keeps_the_jitter_and_nothing_else(targets, store):
    """As published: without strong augmentation the student's crop is still jittered."""
    items = [
        UnlabelledDataset(targets, store, CROPS, AugmentSettings(strong=strong), seed=0, explore=EXPLORE)[0, 0][0]
        for strong in (True, False)
    ]
    assert np.array_equal(items[0]["student_search"], items[1]["student_search"])
    assert not np.array_equal(items[1]["teacher_search"], items[1]["student_search"])
    assert items[1]["angle"] == 0
    assert not items[1]["flip"]


def test_a_search_crop_of_the_key_frame_where_asked_for(targets, store):
    """Made after all else is drawn: the rest of the instance is the same."""
    plain, more = (
        UnlabelledDataset(targets, store, CROPS, PLAIN, seed=0, explore=EXPLORE, key_search=key_search)[0, 3][0]
        for key_search in (False, True)
    )
    assert all(np.array_equal(value, more[name]) for name, value in plain.items())
    assert more["key_search"].shape == (3, 128, 128)
    center = more["key_search_box"][:2] + more["key_search_box"][2:] / 2
    assert np.abs(center - 63.5).max() > 2  # jittered
    assert ((center > 0) & (center < 128)).all()


def test_key_template_instead_of_the_relay_frame(targets, store):
    dataset = UnlabelledDataset(targets, store, CROPS, PLAIN, seed=0, explore=Exploration(relay=KeyFrameRelay()))
    for i in range(10):
        item = dataset[0, i][0]
        assert np.array_equal(item["key"], item["relay"])


def test_the_state_in_force_is_that_of_the_epoch(targets, store):
    dataset = UnlabelledDataset(targets, store, CROPS, PLAIN, seed=0, explore=EXPLORE)
    before = dataset[5, 0][0]
    frames = np.setdiff1d(np.arange(16), store.at(0).target(0).ids)
    everything = PseudoLabels(
        np.zeros(len(frames), np.int64), frames, np.tile(np.float32([10, 10, 20, 20]), (len(frames), 1)),
        np.full(len(frames), 0.9, np.float32),
    )  # fmt: skip
    store.commit(everything, epoch=6)
    assert dataset.state(5).version == 0
    assert dataset.state(6).version == 1
    again = dataset[5, 0][0]
    assert np.array_equal(before["teacher_search"], again["teacher_search"])


def test_unreadable_frames_are_redrawn_and_told(videos, tmp_path, targets):
    import shutil

    from spot.data.datasets import folder

    copy = tmp_path / "copy"
    shutil.copytree(Path(videos.frames[0].folder).parent, copy)
    broken = folder.load(str(copy), name="broken")
    labels = sample_key_frames(broken, 3, seed=0)
    frame = Path(broken[0].frames.path(int(labels.targets[broken.names[0]][0].ids[0])))
    frame.write_bytes(frame.read_bytes()[:100])
    dataset = LabelledDataset(Targets([broken], [labels]), CROPS, PLAIN, seed=0)
    complaints = [c for i in range(60) for c in dataset[0, i][1]]
    assert complaints
    assert all(str(frame) in c for c in complaints)

    for path in copy.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(SpotError, match="draws in a row could not be read"):
        dataset[0, 0]
