"""The synthetic set: exact truth, the GOT-10k layout, the same pixels for a seed, never half-written."""

from pathlib import Path

import numpy as np
import pytest

from spot.data.datasets import rendering, synthetic
from spot.data.datasets.motion import moving, smooth_path
from spot.data.datasets.rendering import draw, render_video
from spot.data.datasets.sprites import look_alike, random_look
from spot.data.images import read_frame
from spot.runtime.errors import SpotError

TINY = {"videos": 3, "frames": 12, "size": (128, 96)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_reads_back_as_got10k_layout(root: Path) -> None:
    videos = synthetic.load(root, "train", **TINY)
    assert videos.names == [f"Synthetic_Train_{i:06d}" for i in (1, 2, 3)]
    assert (videos.name, videos.split) == (f"Synthetic-v{synthetic.RENDERER}-3x12-128x96-0", "train")
    assert videos.lengths.tolist() == [12, 12, 12]
    frame = read_frame(videos[2].frames.path(11))
    assert (frame.width, frame.height) == (128, 96)
    folder = Path(videos[0].frames.folder)
    for labels in ("absence.label", "cover.label", "groundtruth.txt"):
        assert len((folder / labels).read_text().splitlines()) == 12


def test_truth_is_sane(root: Path) -> None:
    for video in synthetic.load(root, "test", **TINY):
        assert video.visible[0], "a tracker starts on the first frame"
        seen = video.boxes[video.visible]
        assert (seen[:, 2:] >= 1).all()
        assert (seen[:, :2] >= 0).all()
        assert (seen[:, :2] + seen[:, 2:] <= [128.01, 96.01]).all()
        assert (video.boxes[~video.visible] == 0).all() or (~video.visible).sum() == 0


def test_same_seed_same_bytes_whatever_the_threads(root: Path, tmp_path: Path, monkeypatch) -> None:
    synthetic.load(root, "train", **TINY)
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 1)
    synthetic.load(tmp_path, "train", **TINY)
    (first,), (second,) = list(root.glob("train_*")), list(tmp_path.iterdir())
    assert files(first) == files(second)


@pytest.mark.parametrize(
    ("split", "seed", "index"),
    [
        pytest.param(2, 0, 0, id="another split shares nothing with training"),
        pytest.param(0, 1, 0, id="another seed is another set"),
        pytest.param(0, 0, 1, id="videos of one set differ"),
    ],
)
def test_every_video_is_its_own(split: int, seed: int, index: int) -> None:
    first, other = (render_video(np.random.default_rng(key), 2, (128, 96)) for key in ([0, 0, 0], [seed, split, index]))
    assert np.abs(first.images.astype(int) - other.images).mean() > 10
    assert np.abs(first.boxes - other.boxes).max() > 1


def test_more_videos_begin_with_the_same_ones(root: Path) -> None:
    few = synthetic.load(root, "train", **TINY)
    more = synthetic.load(root, "train", **{**TINY, "videos": 4})
    np.testing.assert_array_equal(few[1].boxes, more[1].boxes)


@pytest.mark.parametrize("seed", range(12))
def test_box_is_the_bound_of_what_is_drawn(seed: int) -> None:
    """The box comes from the analytic outline, the picture from a remapped sprite: they must agree."""
    rng = np.random.default_rng(seed)
    path = smooth_path(rng, 5, (320, 240), np.array([160.0, 120.0]), 10.0, 0.4)
    layer = moving(rng, random_look(rng), path, 25.0)
    boxes = rendering.bounds(layer.outlines, (320, 240))
    for t in range(5):
        seen = np.zeros((240, 320), np.float32)
        draw(np.zeros((240, 320, 3), np.float32), layer, t, seen)
        rows, columns = np.nonzero(seen > 0.5)
        low, high = [columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(boxes[t, :2], low, atol=0.8)
        np.testing.assert_allclose(boxes[t, :2] + boxes[t, 2:], high, atol=0.8)


def test_the_set_is_not_a_moving_square() -> None:
    """Over a few videos: absence, partial occlusion, change of size and of brightness all happen."""
    videos = [render_video(np.random.default_rng([0, 0, i]), 60, (160, 120)) for i in range(12)]
    share = np.stack([v.visible_fraction for v in videos])
    area = [np.sqrt(v.boxes[:, 2:].prod(1)[v.visible_fraction > 0]) for v in videos]
    light = [v.images.mean((1, 2, 3)) for v in videos]
    assert (share[:, 0] > 0.9).all()
    assert 1 <= (share == 0).any(axis=1).sum() <= 6
    assert 0.02 < ((share > 0) & (share < 0.8)).mean() < 0.4
    assert np.median([a.max() / a.min() for a in area]) > 1.3
    assert max(x.max() / x.min() for x in light) > 1.5


def test_a_look_alike_can_be_told_apart() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        look = random_look(rng)
        twin = look_alike(look, rng)
        assert twin.squareness == look.squareness
        assert twin.pattern != look.pattern or np.abs(twin.palette - look.palette).max() > 0.02


@pytest.mark.parametrize(
    ("split", "settings", "says"),
    [
        pytest.param("validate", {}, "choose from", id="unknown split"),
        pytest.param("train", {"videos": 0}, "videos >= 1", id="nothing to render"),
        pytest.param("train", {"size": (32, 32)}, "64 px", id="too small for any target"),
    ],
)
def test_refuses_in_one_line(tmp_path: Path, split: str, settings: dict, says: str) -> None:
    with pytest.raises(SpotError, match=says):
        synthetic.load(tmp_path, split, **{**TINY, **settings})
    assert list(tmp_path.iterdir()) == []


def test_another_version_renders_elsewhere(tmp_path: Path, monkeypatch) -> None:
    synthetic.load(tmp_path, "train", videos=1, frames=2, size=(64, 64))
    monkeypatch.setattr(synthetic, "RENDERER", synthetic.RENDERER + 1)
    synthetic.load(tmp_path, "train", videos=1, frames=2, size=(64, 64))
    assert len(list(tmp_path.iterdir())) == 2


def test_refuses_a_folder_that_it_did_not_render(tmp_path: Path) -> None:
    synthetic.load(tmp_path, "train", videos=1, frames=2, size=(64, 64))
    next(tmp_path.glob("*/settings.json")).unlink()
    with pytest.raises(SpotError, match="delete it"):
        synthetic.load(tmp_path, "train", videos=1, frames=2, size=(64, 64))


def test_interrupted_rendering_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "render_video", fail)
    with pytest.raises(KeyboardInterrupt):
        synthetic.load(tmp_path, "train", **TINY)
    assert list(tmp_path.iterdir()) == []


def test_loses_a_race_gracefully(tmp_path: Path, monkeypatch) -> None:
    """Another process finishes the same folder first: its files stand, ours vanish."""
    settings = {"videos": 1, "frames": 2, "size": (64, 64)}
    render = synthetic.render_video

    def overtaken(*args: object) -> rendering.Rendered:
        monkeypatch.setattr(synthetic, "render_video", render)
        synthetic.load(tmp_path, "train", **settings)
        return render(*args)

    monkeypatch.setattr(synthetic, "render_video", overtaken)
    assert len(synthetic.load(tmp_path, "train", **settings)) == 1
    assert [p.name for p in tmp_path.iterdir()] == [f"train_1x2_64x64_seed0_v{synthetic.RENDERER}"]
