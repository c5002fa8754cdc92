"""OSTrack equals the published network: names, outputs, candidate elimination, losses and tracking.

`data/ostrack.npz` is an excerpt of golden/k_ostrack: a reduced network (6 blocks of width 192) in float64.
"""

import json
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from spot.architectures.base import mean_terms
from spot.architectures.ostrack.loss import OSTrackLoss, centre_targets
from spot.architectures.ostrack.network import OSTrack, OSTrackPrediction, keep_ratio_at
from spot.architectures.ostrack.tracker import OSTrackTracker
from spot.architectures.ostrack.transformer import JointViT, resize_positions
from tests.parity.weights import fill, seeded_value
from tests.paths import GOLDEN, PARITY_DATA, SHARED, requires_shared

pytest.importorskip("timm", reason="OSTrack needs timm")
BOXES = torch.tensor([[32.0, 32.0, 64.0, 64.0]] * 2, dtype=torch.float64)  # of the targets in the template crops


@pytest.fixture(scope="module")
def golden() -> Iterator[dict[str, np.ndarray]]:
    with np.load(PARITY_DATA / "ostrack.npz") as file:
        yield dict(file)


@pytest.fixture(scope="module")
def text(golden: dict[str, np.ndarray]) -> dict:
    return json.loads(str(golden["text"]))


def reduced(eliminate: bool, **options) -> OSTrack:
    """The golden data's small network with its name-seeded weights, in float64 and evaluation mode."""
    sizes = {"embed_dim": 192, "depth": 6, "num_heads": 3}
    blocks = (1, 3) if eliminate else ()
    vit = JointViT("vit_tiny_patch16_224", weights="none", drop_path=0.0, eliminate_at=blocks, options=sizes)
    network = OSTrack(vit, channels=64, **options)
    fill(network, OSTrack.published.published_key)
    network = network.double().eval()
    mean, std = (torch.tensor(x, dtype=torch.float64) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network.pixel_mean, network.pixel_std = mean.view(3, 1, 1), std.view(3, 1, 1)  # not rounded to single precision
    return network


def noise() -> tuple[Tensor, Tensor]:
    """The golden data's crops, which were made and stored as half-precision noise."""
    seeds = ((100, 128), (200, 256))
    template, search = (np.random.RandomState(s).standard_normal((2, 3, n, n)).astype(np.float16) for s, n in seeds)
    return torch.from_numpy(template).double(), torch.from_numpy(search).double()


def assert_maps_equal(prediction: OSTrackPrediction, golden: dict, tag: str) -> None:
    for ours, theirs in (("scores", "score_map"), ("sizes", "size_map"), ("offsets", "offset_map")):
        expected = golden[f"{tag}_{theirs}"]
        found = getattr(prediction, ours).detach().numpy().reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8, err_msg=ours)


@pytest.mark.parametrize("eliminate", [True, False])
def test_maps_tokens_and_dropped_tokens(golden, eliminate):
    network, (template, search) = reduced(eliminate), noise()
    tag = "red_ce_b0" if eliminate else "red_noce_b0"
    with torch.no_grad():
        features = network.encode_template(template, BOXES)
        assert_maps_equal(network.predict(features, search), golden, tag)
        tokens, dropped = network.backbone(features[0], search, features[1])
    np.testing.assert_allclose(tokens.norm(dim=2).numpy(), golden[f"{tag}_tok_norm"], rtol=0, atol=1e-8)
    assert len(dropped) == (2 if eliminate else 0)
    for i, places in enumerate(dropped):
        np.testing.assert_array_equal(places.numpy(), golden[f"{tag}_removed{i}"])


@requires_shared
@pytest.mark.parametrize(
    ("tag", "voters", "ratio"),
    [
        ("b1", "center", None),
        ("b1_rate085", "center", 0.85),
        ("b1_rate1", "center", 1.0),
        ("b1_maskALL", "all", None),
        ("b1_maskREC", "region", None),
    ],
)
def test_voters_and_ratios(tag, voters, ratio):
    with np.load(GOLDEN / "k_ostrack.npz") as file:
        crops = [torch.from_numpy(file[f"in1_{name}_u8"]).double() / 255 for name in ("template", "search")]
        network = reduced(True, voters=voters)
        template, search = map(network.normalise, crops)
        with torch.no_grad():
            tokens, votes = network.encode_template(template, BOXES)
            joint, dropped = network.backbone(tokens, search, votes, ratio)
            assert_maps_equal(network._heads(joint), file, f"red_ce_{tag}")
        for i, places in enumerate(dropped):
            np.testing.assert_array_equal(places.numpy(), file[f"red_ce_{tag}_removed{i}"])


@requires_shared
@pytest.mark.slow
def test_full_size():
    keys = json.loads((GOLDEN / "k_ostrack_keys.json").read_text())["full_vitb_256_ce_and_noce"]
    network = OSTrack(JointViT("vit_base_patch16_224.mae", weights="none"))
    own = {OSTrack.published.published_key(key): list(value.shape) for key, value in network.state_dict().items()}
    published = {key: shape for key, shape in own.items() if not key.startswith("iou_branch.")}
    assert published == {key: shape for key, (shape, _) in keys.items()}
    fill(network, OSTrack.published.published_key)
    template, search = noise()
    with torch.no_grad(), np.load(GOLDEN / "k_ostrack.npz") as file:
        prediction = network.double().eval()(template, BOXES, search)
        assert_maps_equal(prediction, file, "full_ce_b0")


@requires_shared
def test_training_step():
    """Epoch 60 of the published schedule, with losses and the gradient's norm of every parameter."""
    facts = json.loads((GOLDEN / "k_ostrack.json").read_text())["run_facts"]["train"]
    network = reduced(True).train()
    network.begin_epoch(facts["epoch"] - 1)
    with np.load(GOLDEN / "k_ostrack.npz") as file:
        crops = [torch.from_numpy(file[f"in1_{name}_u8"]).double() / 255 for name in ("template", "search")]
    template, search = map(network.normalise, crops)
    boxes = torch.tensor(facts["search_anno"][0], dtype=torch.float64) * 256
    loss = OSTrackLoss()
    terms = mean_terms(loss(network(template, BOXES, search), boxes, torch.ones(2, dtype=torch.bool), train_iou=False))
    total = loss.total(terms)
    total.backward()
    for ours, theirs in (("giou", "giou"), ("box", "l1"), ("focal", "location")):
        assert terms[ours].item() == pytest.approx(facts["losses"][f"Loss/{theirs}"], rel=1e-10)
    assert total.item() == pytest.approx(facts["losses"]["Loss/total"], rel=1e-10)
    norms = {OSTrack.published.published_key(k): p.grad for k, p in network.named_parameters() if p.grad is not None}
    for key, expected in facts["grad_norms"].items():
        if expected is not None and expected > 1e-8:  # biases before BatchNorm have no gradient but rounding
            assert norms[key].norm().item() == pytest.approx(expected, rel=1e-9), key


@pytest.mark.parametrize("case", ["near", "random", "no_positive_cell"])
def test_losses_and_gradients(golden, text, case):
    leaves = {x: torch.from_numpy(golden[f"loss_{case}_{x}"]).requires_grad_() for x in ("score", "offset", "size")}
    scores = leaves["score"].squeeze(1)
    prediction = OSTrackPrediction(scores, leaves["offset"], leaves["size"], scores.detach())
    facts = text["losses"][case]
    boxes = torch.tensor(facts["boxes"], dtype=torch.float64) * 256
    loss = OSTrackLoss()
    terms = mean_terms(loss(prediction, boxes, torch.ones(len(boxes), dtype=torch.bool), train_iou=False))
    total = loss.total(terms)
    total.backward()
    assert total.item() == pytest.approx(facts["Loss/total"], rel=1e-12)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(leaf.grad.numpy(), golden[f"loss_{case}_grad_{name}"], rtol=0, atol=1e-12)


def test_centre_targets_schedule_and_positions(golden, text):
    boxes = torch.tensor(text["heat_boxes"], dtype=torch.float64)
    for grid, name in ((16, "heatmap"), (24, "heatmap_384")):
        np.testing.assert_allclose(centre_targets(boxes, grid).numpy(), golden[name], rtol=0, atol=1e-12)
    for epoch, ratio in text["keep_ratio"]["values"].items():
        assert keep_ratio_at(int(epoch), 0.7, 20, 100) == pytest.approx(ratio, abs=1e-12)
    filled = torch.from_numpy(seeded_value("backbone.pos_embed", (1, 197, 192))).double()
    for grid, name in ((8, "posembed_z"), (16, "posembed_x")):
        ours = resize_positions(filled, grid)[0, :, ::16].numpy()
        np.testing.assert_allclose(ours, golden[name], rtol=0, atol=1e-12)


@pytest.mark.slow
@requires_shared
@pytest.mark.parametrize("eliminate", [True, False])
@pytest.mark.parametrize("video", ["otb__Football1", "davis__car-shadow"])
def test_tracker(video, eliminate):
    """Free-running over real frames."""
    facts = json.loads((GOLDEN / "k_ostrack.json").read_text())["tracker"]["sequences"][video]
    folder = SHARED / "data" / "real" / "test" / video
    frames = [cv2.imread(str(folder / f"{i:08d}.jpg"))[..., ::-1].copy() for i in range(1, 13)]
    tracker = OSTrackTracker(reduced(eliminate))
    state = tracker.start(frames[:1], np.array([facts["init_bbox"]]))
    boxes = []
    for frame in frames[1:]:
        state, box, _ = tracker.step(state, [frame])
        boxes.append(box[0])
    with np.load(GOLDEN / "k_ostrack.npz") as file:
        expected = file[f"track_{video}_{'ce' if eliminate else 'noce'}_f64_boxes"][1:]
    np.testing.assert_allclose(boxes, expected, rtol=0, atol=1e-7)
