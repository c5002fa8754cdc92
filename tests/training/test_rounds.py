"""Labels that are added to a run begin a new round: from its network, with what it had explored; safe at every stop."""

import json
import shutil

import numpy as np
import pytest

from spot.data.box_table import BoxTable
from spot.data.datasets.videos import load
from spot.data.key_frames import KeyFrames
from spot.data.targets import Targets
from spot.state.merge import PseudoLabels
from spot.state.store import StateStore
from spot.training.rounds import next_round, start_of_round
from spot.training.run import Run
from tests.annotation.clips import true_box, write_clips

ROWS = [("first", 1, 4, true_box(4)), ("first", 1, 12, true_box(12)), ("second", 1, 8, true_box(8, 5))]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("round")
    return write_clips(root / "clips", 16), root


@pytest.fixture
def targets(clips, tmp_path):
    """Makes the targets of label rows."""

    def make(rows):
        BoxTable.from_rows(rows).write_csv(tmp_path / "labels" / "clips.csv")
        videos = load(str(clips[0]), str(clips[1] / "frames"), str(tmp_path / "labels"))
        return Targets([videos], [KeyFrames.of_hand_drawn(videos)])

    return make


@pytest.fixture
def run(targets, tmp_path):
    """A run that has explored frame 6 of the first video and frame 9 of the second."""
    folder = tmp_path / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(b"network")
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "metrics.csv").write_text("epoch\n")
    store = StateStore.create(folder / "sampler_state", *targets(ROWS).state_arguments())
    boxes = np.stack([true_box(6), true_box(9, 5)]).astype(np.float32)
    store.commit(PseudoLabels(np.array([0, 1]), np.array([6, 9]), boxes, np.array([0.8, 0.9], np.float32)), 1)
    return Run(folder, last)


def test_the_same_labels_continue_the_round(run, targets):
    assert next_round(run, targets(ROWS)) == run
    assert start_of_round(run.folder) is None
    assert not (run.folder / "rounds").exists()


def test_more_labels_begin_a_round_that_knows_what_was_explored(run, targets):
    more = targets([*ROWS, ("first", 1, 9, true_box(9))])
    begun = next_round(run, more)
    assert begun.resume_from is None
    assert start_of_round(run.folder).read_bytes() == b"network"
    assert start_of_round(run.folder).parent.parent.name == "001"
    assert (run.folder / "config.yaml").is_file(), "the run is still known by its name"
    assert not (run.folder / "metrics.csv").exists()
    state = StateStore.open(run.folder / "sampler_state", StateStore.fingerprint(*more.state_arguments())).at(0)
    first, second = state.target(0), state.target(1)
    assert first.ids.tolist() == [4, 6, 9, 12]
    assert first.confidences.tolist() == pytest.approx([1, 0.8, 1, 1])
    assert second.ids.tolist() == [8, 9]
    begun = Run(run.folder, run.folder / "checkpoints" / "last.ckpt")
    begun.resume_from.parent.mkdir()
    begun.resume_from.write_bytes(b"second network")
    assert next_round(begun, more) == begun
    next_round(begun, targets([*ROWS, ("first", 1, 9, true_box(9)), ("first", 1, 2, true_box(2))]))
    assert start_of_round(run.folder).read_bytes() == b"second network"


def test_pseudo_labels_of_a_moved_key_frame_are_forgotten(run, targets):
    moved = [(*ROWS[0][:3], true_box(5)), *ROWS[1:]]
    next_round(run, targets(moved))
    state = StateStore.open(run.folder / "sampler_state").at(0)
    assert state.target(0).ids.tolist() == [4, 12]
    assert state.target(1).ids.tolist() == [8, 9]


@pytest.mark.parametrize("stop", ["rename", "copyfile", "create"])
def test_a_stop_on_the_way_is_completed_by_the_next_start(run, targets, stop, monkeypatch):
    more = targets([*ROWS, ("first", 1, 9, true_box(9))])

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if stop == "rename":
            import pathlib

            real = pathlib.Path.rename
            calls = []
            patched.setattr(pathlib.Path, "rename", lambda a, b: killed() if calls else (calls.append(a), real(a, b)))
        else:
            patched.setattr(*((shutil, "copyfile") if stop == "copyfile" else (StateStore, "create")), killed)
        with pytest.raises(KeyboardInterrupt):
            next_round(run, more)
    last = run.folder / "checkpoints" / "last.ckpt"
    begun = next_round(Run(run.folder, last if last.exists() else None), more)
    assert begun.resume_from is None
    assert json.loads((run.folder / "round.json").read_text()) == {"number": 2}
    assert start_of_round(run.folder).read_bytes() == b"network"
    assert StateStore.open(run.folder / "sampler_state").at(0).target(0).ids.tolist() == [4, 6, 9, 12]


def test_a_run_without_pseudo_labels_begins_a_round_too(targets, tmp_path):
    last = tmp_path / "plain" / "checkpoints" / "last.ckpt"
    run = Run(last.parent.parent, None)
    assert next_round(run, targets(ROWS), has_state=False) == run
    assert start_of_round(run.folder) is None
    for number in (1, 2):
        last.parent.mkdir(parents=True)
        last.write_bytes(b"network %d" % number)
        run = Run(run.folder, last)
        assert next_round(run, targets(ROWS[: 3 - number + 1]), has_state=False) == run
        assert next_round(run, targets(ROWS[: 3 - number]), has_state=False).resume_from is None
        assert start_of_round(run.folder).read_bytes() == b"network %d" % number
    assert not (run.folder / "sampler_state").exists()
