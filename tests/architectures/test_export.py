"""ONNX files say what the network says, in onnxruntime."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from spot.architectures.backbones.small_cnn import SmallCNN
from spot.architectures.base import Candidates, Prediction, TrackerNetwork
from spot.architectures.export import SearchNetwork, _compare, export_onnx, onnx_files
from spot.architectures.ocean.network import Ocean
from spot.architectures.transt.network import TransT
from spot.runtime.errors import SpotError
from tests.parity.weights import fill

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def backbone() -> SmallCNN:
    return SmallCNN((8, 8, 8), (0, 0))


def make(arch: str) -> TrackerNetwork:
    """Small networks with the parity tests' weights, which leave nothing constant."""
    if arch == "transt":
        network = TransT(backbone(), 32, 64, d_model=8, heads=2, layers=1, ffn=8)
        fill(network, network.published.published_key)
        return network
    network = Ocean(backbone(), 64, 128, grid=11, template_margin=1, channels=8, tower_depth=1)
    fill(network, network.published.published_key)
    return network


def onnx_outputs(file: Path, *inputs: Tensor) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feed = {slot.name: value.numpy() for slot, value in zip(session.get_inputs(), inputs, strict=True)}
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "batch"),
    [
        ("transt", 3),  # any batch; the export itself looks at another one
        ("ocean", 3),  # deformable convolution and correlation by predicted kernels
    ],
)
def test_both_files_say_what_the_network_says(tmp_path: Path, arch: str, batch: int) -> None:
    network = make(arch)
    export_onnx(network, tmp_path / "net.onnx")
    template_file, search_file = onnx_files(tmp_path / "net.onnx")
    assert sorted(tmp_path.iterdir()) == [search_file, template_file]

    generator = torch.Generator().manual_seed(1)
    crops = [torch.randn(batch, 3, n, n, generator=generator) for n in (network.template_size, network.search_size)]
    with torch.no_grad():
        features = network.encode_template(crops[0], torch.zeros(batch, 4))
        expected = network.candidates(network.predict(features, crops[1]))
    encoded = onnx_outputs(template_file, crops[0])
    assert list(encoded) == [f"template_features_{i}" for i in range(len(features))]
    found = onnx_outputs(search_file, crops[1], *(torch.from_numpy(part) for part in encoded.values()))
    assert list(found) == ["scores", "boxes", "ious"]
    for name, value in expected._asdict().items():
        assert value.std() > 0.01  # a constant output would prove nothing
        np.testing.assert_allclose(found[name], value.numpy(), atol=1e-3)

    metadata = onnxruntime.InferenceSession(template_file).get_modelmeta().custom_metadata_map
    assert metadata == {"pixel_mean": "0.485 0.456 0.406", "pixel_std": "0.229 0.224 0.225"}

    inputs = {"search": crops[1], **{f"template_features_{i}": part for i, part in enumerate(features)}}
    with torch.no_grad():
        network.get_parameter("iou_head.4.bias" if arch == "transt" else "iou_pred.bias").add_(0.1)
        with pytest.raises(SpotError, match=r"ious of onnxruntime is off by 0\.0"):
            _compare(SearchNetwork(network).eval(), inputs, search_file, "net")


class Unwritable(TrackerNetwork):
    """Uses an operator that ONNX lacks."""

    template_size = search_size = 8

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        return (torch.linalg.pinv(template.mean(1)),)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> Prediction:
        raise NotImplementedError

    def candidates(self, prediction: Prediction) -> Candidates:
        raise NotImplementedError


def test_operator_without_onnx_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SpotError, match=r"net_template\.onnx: ONNX opset 20 cannot express this network: operator .*linalg"
    ) as raised:
        export_onnx(Unwritable(), tmp_path / "net.onnx")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SpotError, match="needs onnxruntime; pip install -e"):
        export_onnx(make("transt"), tmp_path / "net.onnx")
