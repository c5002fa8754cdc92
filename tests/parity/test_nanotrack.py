"""NanoTrack against the published ONNX files, classes, trackers, labels and losses (golden/l_nanotrack)."""

import json

import cv2
import numpy as np
import pytest
import torch

from spot.architectures.base import mean_terms
from spot.architectures.distance_loss import distance_iou
from spot.architectures.nanotrack.loss import NanoLoss
from spot.architectures.nanotrack.network import NanoPrediction, NanoTrack
from spot.architectures.nanotrack.opencv_rule import OpenCVTracker
from spot.architectures.nanotrack.published import from_onnx, published_key
from spot.architectures.nanotrack.tracker import NanoTracker
from tests.parity.weights import seeded_value
from tests.paths import GOLDEN, SHARED, requires_shared

pytestmark = requires_shared

PEERS = SHARED / "peers" / "nanotrack"
VERSIONS = (1, 2)
RULES = {
    1: {"context": 0.5, "window": 0.462, "penalty": 0.148, "learning_rate": 0.39},
    2: {"context": 0.5, "window": 0.49, "penalty": 0.15, "learning_rate": 0.385},
}
OPENCV = {"context": 0.5, "window": 0.455, "penalty": 0.055, "learning_rate": 0.37}
VIDEOS = ("davis__car-shadow", "otb__Jumping")


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "l_nanotrack.npz")


@pytest.fixture(scope="module")
def meta():
    return json.loads((GOLDEN / "l_nanotrack.json").read_text())


@pytest.fixture(scope="module")
def networks():
    """Both versions with the weights of the ONNX files."""
    found = {}
    for version in VERSIONS:
        network = NanoTrack(version).eval()
        files = [PEERS / f"nanotrackv{version}_nanotrack_{part}_sim.onnx" for part in ("backbone", "head")]
        network.load_state_dict(from_onnx(files, network), strict=False)
        found[version] = network
    return found


@pytest.fixture(scope="module")
def videos(meta):
    """Frames (RGB) and first box of both sequences."""
    found = {}
    for name in VIDEOS:
        info = meta["tracker"]["sequences"][name]
        folder = next((SHARED / "data" / "real").glob(f"*/{name}"))
        files = sorted(folder.glob("*.jpg"))[:8]
        found[name] = [np.ascontiguousarray(cv2.imread(str(f))[..., ::-1]) for f in files], info
    return found


def image(pixels: np.ndarray) -> torch.Tensor:
    """The published channel order, BGR, to ours."""
    return torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)[None].float()


def rows(maps: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(maps).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pair", [0, 1])
@torch.no_grad()
def test_outputs_equal_those_of_the_onnx_files(networks, golden, version, pair):
    template = golden["z0_u8"] if pair == 0 else golden["x1_u8"][80:207, 60:187]
    found = networks[version](image(template), torch.zeros(1, 4), image(golden[f"x{pair}_u8"]))
    torch.testing.assert_close(found.logits, rows(golden[f"v{version}_onnx_cls{pair}"]), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.distances, rows(golden[f"v{version}_onnx_loc{pair}"]), rtol=1e-4, atol=0)


def fill(network: NanoTrack) -> NanoTrack:
    """The name-seeded weights; they are of a network for BGR."""
    gains = {"ban_head.bbox_pred.0.weight": 0.3 / 1.7}
    for key, tensor in network.state_dict().items():
        if key.startswith("iou_head."):
            continue
        name = published_key(key, network.version)
        value = seeded_value(name, tuple(tensor.shape)) * gains.get(name, 1)
        tensor.copy_(torch.from_numpy(np.asarray(value + 3.5 * (name == "ban_head.bbox_pred.0.bias"))))
    return network.double()


def filled_prediction(network: NanoTrack, golden) -> NanoPrediction:
    templates = [golden["z0_u8"], golden["x1_u8"][80:207, 60:187]]
    z, x = (
        torch.cat([image(pixels).flip(1).double() for pixels in each])
        for each in (templates, [golden["x0_u8"], golden["x1_u8"]])
    )
    return network(z, torch.zeros(2, 4), x)


@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_filled_networks_equal_the_published_classes_in_double_precision(golden, version):
    found = filled_prediction(fill(NanoTrack(version)).eval(), golden)
    torch.testing.assert_close(found.logits, rows(golden[f"v{version}_fill_cls"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.distances, rows(golden[f"v{version}_fill_loc"]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_training_step_has_the_published_losses_and_gradients(golden, meta, version, monkeypatch):
    """With the cells that the published program drew: its draw is a subset of ours."""
    step = meta["filled"][f"v{version}"]["train"]
    labels = torch.from_numpy(golden[f"v{version}_train_label_cls"]).flatten(1)
    loss = NanoLoss().double()
    corners = torch.tensor(step["boxes_x1y1x2y2"], dtype=torch.float64)
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1)
    positive, negative = loss.labels(boxes)
    assert ((labels == 1) <= positive).all()
    assert ((labels == 0) <= negative).all()
    monkeypatch.setattr(loss, "labels", lambda _: (labels == 1, labels == 0))
    network = fill(NanoTrack(version)).train()
    terms = mean_terms(loss(filled_prediction(network, golden), boxes, torch.ones(2, dtype=torch.bool), False))
    assert terms["class"].item() == pytest.approx(step["losses"]["cls_loss"], rel=1e-6)
    assert terms["box"].item() == pytest.approx(step["losses"]["loc_loss"], rel=1e-6)
    loss.total(terms).backward()
    for key, parameter in network.named_parameters():
        if not key.startswith("iou_head."):
            expected = step["grad_norms"][published_key(key, version)]
            assert float(parameter.grad.norm()) == pytest.approx(expected, rel=1e-5, abs=1e-6), key


@pytest.mark.parametrize("case", range(4))
def test_labels_and_distances_equal_the_published_ones(golden, meta, case):
    info = meta["training"]["labels"][f"v1_{case}"]
    x1, y1, x2, y2 = info["box_x1y1x2y2"]
    box = torch.tensor([[x1, y1, x2 - x1, y2 - y1]])
    loss = NanoLoss()
    positive, negative = loss.labels(box)
    assert int(positive.sum()) == info["points_inside_small_ellipse"]
    assert int(negative.sum()) == info["points_outside_large_ellipse"]
    drawn = torch.from_numpy(golden[f"label_v1_{case}_cls"]).flatten()[None]
    assert ((drawn == 1) <= positive).all()
    assert ((drawn == 0) <= negative).all()
    torch.testing.assert_close(loss.distances(box), rows(golden[f"label_v1_{case}_delta"][None]), rtol=0, atol=1e-4)


def test_the_box_term_equals_the_published_one(golden, meta):
    mask = torch.from_numpy(golden["nloss_label_cls"]).flatten(1) == 1
    overlap = distance_iou(rows(golden["nloss_loc"]), rows(golden["nloss_label_loc"]).double())
    assert float((1 - overlap)[mask].mean()) == pytest.approx(meta["training"]["losses"]["mixed"]["loc"], rel=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_tracks_equal_those_of_the_published_program(networks, golden, videos, version):
    """Both videos in lock-step."""
    tracker = NanoTracker(networks[version], **RULES[version])
    first = np.array([videos[name][1]["init_gt"] for name in VIDEOS])
    state = tracker.start([videos[name][0][0] for name in VIDEOS], first)
    for t in range(1, 8):
        state, boxes, scores = tracker.step(state, [videos[name][0][t] for name in VIDEOS])
        for i, name in enumerate(VIDEOS):
            prefix = f"py_v{version}_{name}"
            np.testing.assert_allclose(boxes[i], golden[f"{prefix}_boxes"][t], rtol=0, atol=2e-3)
            np.testing.assert_allclose(scores[i], golden[f"{prefix}_scores"][t - 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_tracks_by_opencvs_rule_equal_those_of_opencv(networks, golden, videos, version):
    """OpenCV cuts boxes to whole pixels, so one that lies within rounding of a whole number may differ by one."""
    tracker = OpenCVTracker(networks[version], **OPENCV)
    first = np.array([videos[name][1]["init_int_for_cv2"] for name in VIDEOS], float)
    state = tracker.start([videos[name][0][0] for name in VIDEOS], first)
    found = []
    for t in range(1, 8):
        state, boxes, scores = tracker.step(state, [videos[name][0][t] for name in VIDEOS])
        for i, name in enumerate(VIDEOS):
            prefix = f"cv2_v{version}_{name}"
            found.append(np.abs(boxes[i] - golden[f"{prefix}_boxes"][t]).max())
            np.testing.assert_allclose(scores[i], golden[f"{prefix}_scores"][t - 1], rtol=0, atol=1e-5)
    assert max(found) <= 1
    assert np.count_nonzero(found) <= 1
