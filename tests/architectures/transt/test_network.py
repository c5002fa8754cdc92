"""TransT at sizes that run in moments; the published size is proved in tests/parity/test_transt.py."""

import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from spot.architectures.backbones.small_cnn import SmallCNN
from spot.architectures.base import mean_terms, rows
from spot.architectures.transt.loss import TransTLoss
from spot.architectures.transt.network import TransT, TransTPrediction, sine_positions
from spot.runtime.errors import SpotError
from tests.paths import ROOT


def small(**settings: object) -> TransT:
    """8x8 search cells, 4x4 template cells."""
    torch.manual_seed(0)
    sizes = {"template_size": 32, "search_size": 64, "d_model": 32, "heads": 4, "layers": 2, "ffn": 48}
    return TransT(SmallCNN((8, 8, 16), (1, 1)), **(sizes | settings))


def crops(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Template, box and search."""
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, side, side, generator=generator) for side in (32, 64))
    return template, torch.zeros(batch, 4), search


def loss_of(network: TransT, prediction: TransTPrediction) -> Tensor:
    boxes = torch.tensor([[20.0, 16.0, 24.0, 30.0]]).expand(len(prediction.logits), 4)
    loss = TransTLoss(network.search_size)
    return loss.total(mean_terms(loss(prediction, boxes, torch.ones(len(boxes), dtype=torch.bool), train_iou=True)))


def test_shapes_and_ranges() -> None:
    network = small().eval()
    prediction = network(*crops(2))
    assert prediction.logits.shape == (2, 64, 2)
    assert prediction.boxes.shape == (2, 64, 4)
    assert prediction.ious.shape == (2, 64)
    candidates = network.candidates(prediction)
    assert ((candidates.scores > 0) & (candidates.scores < 1)).all()
    torch.testing.assert_close(
        (candidates.boxes[..., :2] + candidates.boxes[..., 2:] / 2) / 64, prediction.boxes[..., :2]
    )
    torch.testing.assert_close(candidates.boxes[..., 2:] / 64, prediction.boxes[..., 2:])


def test_score_is_the_probability_of_class_0() -> None:
    logits = torch.tensor([[[3.0, 0.0], [0.0, 3.0]]])
    scores = small().candidates(TransTPrediction(logits, torch.rand(1, 2, 4), torch.rand(1, 2))).scores
    assert scores[0, 0] > 0.9 > 0.1 > scores[0, 1]


def test_instances_of_a_batch_are_independent() -> None:
    network = small().eval()
    template, boxes, search = crops(3)
    with torch.no_grad():
        together = network(template, boxes, search)
        alone = network.predict(tuple(t[1:2] for t in network.encode_template(template, boxes)), search[1:2])
    for joint, single in zip(rows(together, 1, 2), alone, strict=True):
        torch.testing.assert_close(joint, single, rtol=1e-4, atol=1e-5)


def test_the_template_passes_the_backbone_once() -> None:
    network = small().eval()
    seen: list[int] = []
    network.backbone.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-1]))
    template, boxes, search = crops(1)
    features = network.encode_template(template, boxes)
    for _ in range(3):
        network.predict(features, search)
    assert seen == [32, 64, 64, 64]


def test_the_search_crop_decides_with_the_template() -> None:
    network = small().eval()
    template, boxes, search = crops(2)
    same_search = search[:1].expand(2, -1, -1, -1)
    with torch.no_grad():
        logits = network(template, boxes, same_search).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_anchored_boxes_start_at_their_cells() -> None:
    """With a box head that says nothing yet, each box is a quarter of the crop around its own cell; rows run along x."""
    network = small(anchored=True).eval()
    nn.init.zeros_(network.box_head[-1].weight)
    nn.init.zeros_(network.box_head[-1].bias)
    with torch.no_grad():
        boxes = network(*crops(1)).boxes[0].view(8, 8, 4)
    torch.testing.assert_close(boxes[2, 5], torch.tensor([5.5 / 8, 2.5 / 8, 0.25, 0.25]))
    assert network.state_dict().keys() == small().state_dict().keys()


def test_dropout_in_training_alone() -> None:
    network = small(dropout=0.5)
    network.backbone.eval()
    with torch.no_grad():
        assert not torch.equal(network(*crops(1)).logits, network(*crops(1)).logits)
        network.eval()
        assert torch.equal(network(*crops(1)).logits, network(*crops(1)).logits)


def test_iou_head_leaves_the_rest_alone() -> None:
    network = small()
    network(*crops(2)).ious.sum().backward()
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {"iou_head"}


def test_every_parameter_learns() -> None:
    network = small()
    loss_of(network, network(*crops(2))).backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


class LargestTensor(TorchDispatchMode):
    """Numbers in the largest tensor that any operator gives while the mode is on."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


def test_attention_maps_are_never_stored() -> None:
    """Forward and backward: 4 heads x 256 x 256 cells a crop would be four times the largest feature map."""
    network = small(search_size=128, dropout=0.0)
    attention_map = 4 * 256 * 256
    with LargestTensor() as largest:
        loss_of(network, network(*network.export_inputs())).backward()
    assert largest.numel < attention_map / 2


def test_positions_are_computed_once_and_not_saved() -> None:
    network = small()
    assert network.search_positions.shape == (64, 32)
    assert not any("positions" in key for key in network.state_dict())
    assert network.double().search_positions.dtype == torch.float64


def test_sine_positions_by_hand() -> None:
    """Row y = 2 of 3, column x = 3 of 3; first sine and cosine of either half have wavelength 2 pi."""
    positions = sine_positions(3, 8)[1 * 3 + 2]
    y, x = 2 * torch.pi * 2 / 3, 2 * torch.pi
    expected = torch.tensor([y, y, y / 100, y / 100, x, x, x / 100, x / 100])
    expected[0::2], expected[1::2] = expected[0::2].sin(), expected[1::2].cos()
    torch.testing.assert_close(positions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template_size": 60}, r"network\.template_size=60: give a multiple of 8"),
        ({"search_size": 60}, r"network\.search_size=60: give a multiple of 8"),
        ({"d_model": 36, "heads": 8}, r"network\.d_model=36: give a multiple of 4 and of arch\.network\.heads=8"),
        ({"d_model": 6, "heads": 2}, r"network\.d_model=6: give a multiple of 4"),
    ],
    ids=[
        "template off the stride",
        "search off the stride",
        "heads of unequal width",
        "positions need sines and cosines",
    ],
)
def test_impossible_sizes_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SpotError, match=message):
        small(**settings)


def test_published_keys_are_distinct() -> None:
    network = small(layers=3)
    keys = list(network.state_dict())
    assert len({network.published.published_key(key) for key in keys}) == len(keys)


def test_bfloat16_autocast_trains_and_keeps_boxes_exact() -> None:
    network = small()
    reference = network(*crops(2))
    with torch.autocast("cpu", torch.bfloat16):
        prediction = network(*crops(2))
        loss = loss_of(network, prediction)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert prediction.boxes.dtype == prediction.logits.dtype == prediction.ious.dtype == torch.float32
    torch.testing.assert_close(prediction.boxes, reference.boxes, rtol=0, atol=0.05)


def smallest() -> tuple[TransT, tuple[Tensor, Tensor, Tensor]]:
    """What compiles soonest, and its inputs."""
    network = small(template_size=16, search_size=32, layers=1, dropout=0.0)
    network.backbone.eval()  # or either pass would move the statistics of the other
    return network, network.export_inputs()


def assert_same(ours: TransTPrediction, expected: TransTPrediction) -> None:
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_training_traces_into_one_graph() -> None:
    network, inputs = smallest()
    expected = network(*inputs)
    traced = torch.compile(network, backend="aot_eager", fullgraph=True)(*inputs)
    assert_same(traced, expected)
    loss_of(network, traced).backward()
    assert network.projection.weight.grad.any()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile on a CPU needs a C++ compiler")
def test_compiled_network_equals_eager() -> None:
    network, inputs = smallest()
    with torch.no_grad():
        assert_same(torch.compile(network, fullgraph=True)(*inputs), network(*inputs))


def test_learns_where_a_bright_square_is() -> None:
    """The whole chain of network, loss and optimiser on the simplest of targets."""
    network = small(dropout=0.0)
    loss = TransTLoss(search_size=64)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    template = torch.zeros(8, 3, 32, 32)
    template[:, :, 8:24, 8:24] = 1
    generator = torch.Generator().manual_seed(0)
    totals = []
    for _ in range(40):
        corners = torch.randint(0, 40, (8, 2), generator=generator)
        search = torch.zeros(8, 3, 64, 64)
        for image, (x, y) in zip(search, corners.tolist(), strict=True):
            image[:, y : y + 24, x : x + 24] = 1
        boxes = torch.cat((corners, torch.full((8, 2), 24)), dim=1).float()
        found = network(template, torch.zeros(8, 4), search)
        total = loss.total(mean_terms(loss(found, boxes, torch.ones(8, dtype=torch.bool), True)))
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert sum(totals[-5:]) < 0.5 * sum(totals[:5])


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("transt", (128, 256)), ("transt_tiny", (64, 128)), ("transt_small", (64, 128))],
)
def test_configured_architectures(name: str, sizes: tuple[int, int]) -> None:
    """Every key reaches a constructor argument of that name, and loss and tracker agree with the network."""
    if name == "transt_small":
        pytest.importorskip("timm")
    random = [] if name == "transt_tiny" else ["backbone.weights=none"]
    with initialize_config_dir(str(Path(ROOT) / "conf"), version_base="1.3"):
        arch = compose("train", overrides=[f"arch={name}", *(f"arch.network.{o}" for o in random)]).arch
    network = instantiate(arch.network)
    assert isinstance(network, TransT)
    assert (network.template_size, network.search_size) == sizes
    assert instantiate(arch.loss).search_size == network.search_size
    tracker = instantiate(arch.tracker)(network)
    assert len(tracker.window) == network.grid**2
    assert (tracker.window_weight, tracker.min_size) == (0.49, 10)
