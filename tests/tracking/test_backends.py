"""Networks that run through OpenVINO or ONNX Runtime give PyTorch's boxes, for any batch."""

import logging

import pytest
import torch

from spot.architectures.base import Candidates, TrackerNetwork
from spot.runtime.errors import SpotError
from spot.tracking import backends
from spot.tracking.backends import NEEDED, choose_backend, with_backend
from tests.architectures.test_base import small_ocean, small_transt

CPU = torch.device("cpu")


def small_ostrack() -> tuple[TrackerNetwork]:
    pytest.importorskip("timm", reason="OSTrack needs timm")
    from tests.architectures.ostrack.test_network import make

    return (make(),)  # it drops search tokens


def network_of(make) -> TrackerNetwork:
    torch.manual_seed(0)
    return make()[0].eval()


@pytest.mark.parametrize(
    ("backend", "make"),
    [
        ("openvino", small_transt),
        ("openvino", small_ostrack),
        pytest.param("openvino", small_ocean, marks=pytest.mark.slow),
        pytest.param("onnxruntime", small_transt, marks=pytest.mark.slow),  # test_export.py: Ocean
    ],
)
def test_boxes_are_those_of_pytorch(backend: str, make) -> None:
    for package in NEEDED[backend]:
        pytest.importorskip(package)
    network = network_of(make)
    converted = with_backend(network, backend)
    with torch.inference_mode():
        for batch in (1, 3):
            inputs = network.export_inputs(batch)
            expected, found = (net.candidates(net(*inputs)) for net in (network, converted))
            for name, limit in (("scores", 1e-5), ("boxes", 1e-3), ("ious", 1e-5)):
                torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=limit)
    assert converted.grid == network.grid
    assert not isinstance(network(*network.export_inputs()), Candidates)  # the network itself is as before


def test_auto_takes_the_first_that_is_installed(monkeypatch) -> None:
    present = {"openvino", "onnxruntime", "onnx", "onnxscript"}
    monkeypatch.setattr(backends, "find_spec", lambda name: name if name in present else None)
    assert choose_backend("auto", CPU) == "openvino"
    present.remove("openvino")
    assert choose_backend("auto", CPU) == "onnxruntime"
    with pytest.raises(SpotError, match=r"backend=openvino needs openvino; pip install"):
        choose_backend("openvino", CPU)
    present.remove("onnxscript")
    assert choose_backend("auto", CPU) == "torch"
    assert choose_backend("auto", torch.device("cuda")) == "torch"
    with pytest.raises(SpotError, match="runs on a CPU"):
        choose_backend("onnxruntime", torch.device("cuda"))
    with pytest.raises(SpotError, match="backend=tensorrt: choose auto, torch, openvino, onnxruntime"):
        choose_backend("tensorrt", CPU)


def test_what_cannot_be_converted_runs_in_pytorch_or_is_an_error(monkeypatch, caplog) -> None:
    pytest.importorskip("openvino")

    def fail(_: TrackerNetwork) -> None:
        raise RuntimeError("no such operator\nand more lines")

    monkeypatch.setattr(backends, "_openvino_graphs", fail)
    network = network_of(small_transt)
    with caplog.at_level(logging.WARNING):
        assert with_backend(network, "auto") is network
    assert "openvino cannot run this network (no such operator); PyTorch does" in caplog.text
    with pytest.raises(SpotError, match="backend=openvino cannot run this network: no such operator; take"):
        with_backend(network, "openvino")


def test_a_wrong_conversion_is_noticed(monkeypatch) -> None:
    network = network_of(small_transt)
    with torch.inference_mode():
        features = network.encode_template(*network.export_inputs(1)[:2])
    shifted = [
        (lambda *_: list(features)),
        lambda search, *f: [*(part + 1 for part in network.candidates(network.predict(f, search)))],
    ]
    monkeypatch.setattr(backends, "choose_backend", lambda *_: "openvino")
    monkeypatch.setattr(backends, "_openvino_graphs", lambda _: shifted)
    with pytest.raises(SpotError, match="its scores differ from PyTorch's by 1"):
        with_backend(network, "openvino")
