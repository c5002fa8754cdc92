"""NanoTrack's foreign files, written and read: what comes back, and what is refused."""

import shutil
from pathlib import Path

import pytest
import torch

from spot.architectures.checkpoint import load_network, native_content, read_weights
from spot.architectures.nanotrack.network import NanoTrack
from spot.architectures.nanotrack.onnx_pair import with_folded_norms
from spot.architectures.published import Weights
from spot.architectures.weight_files import write_file
from spot.runtime.errors import SpotError


def network(version: int = 2, seed: int = 0) -> NanoTrack:
    """With norms that do something."""
    torch.manual_seed(seed)
    made = NanoTrack(version).eval()
    for key, tensor in made.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return made


def written(folder: Path, name: str, version: int = 2) -> list[Path]:
    made = network(version)
    target = folder / name
    made.published.write(Weights(None, 26, made.state_dict()), network(version, 1), target)
    return list(made.published.targets(target))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("nanotrack")
    return {name: written(folder, name) for name in ("nano.pth", "nano.onnx")}


@pytest.mark.slow
def test_a_pytorch_file_comes_back_without_the_iou_head(files):
    found = read_weights(files["nano.pth"], NanoTrack(2))
    state = network().state_dict()
    assert found.epoch == 26
    assert {key for key in state if key not in found.tensors} == {key for key in state if key.startswith("iou_head.")}
    assert all(torch.equal(state[key], tensor) for key, tensor in found.tensors.items())


@pytest.mark.slow
def test_a_pytorch_file_has_the_published_names_and_channel_order(files):
    state = torch.load(files["nano.pth"][0], weights_only=True)["state_dict"]
    assert "ban_head.corr_pw_reg.CA_layer.fc1.weight" in state
    first = "backbone.features.0.0.weight"
    assert torch.equal(state[first], network().state_dict()[first].flip(1))


@pytest.mark.slow
@torch.no_grad()
def test_an_onnx_pair_comes_back_as_the_same_function(files, caplog):
    expected, found = network(), NanoTrack(2)
    load_network(files["nano.onnx"][::-1], found)  # the order of the files does not matter
    assert "nano_backbone.onnx: no iou_head; its 6 tensors start from random values" in caplog.text
    inputs = expected.export_inputs()
    first, second = expected(*inputs), found.eval()(*inputs)
    torch.testing.assert_close(first[:2], second[:2], rtol=1e-4, atol=1e-4)
    found.train()  # keeps the folded norms, so it is still the same function
    torch.testing.assert_close(found(*inputs)[:2], second[:2])


@pytest.mark.slow
def test_a_native_file_without_the_iou_head_is_a_start(files, tmp_path, caplog):
    weights = read_weights(files["nano.pth"], NanoTrack(2))
    write_file(tmp_path / "nano.pt", native_content(weights, "nanotrack_v2"))
    load_network(tmp_path / "nano.pt", NanoTrack(2), arch="nanotrack_v2")
    assert "6 tensors start from random values" in caplog.text


def test_folding_keeps_the_function():
    expected = network()
    inputs = expected.export_inputs()
    with torch.no_grad():
        torch.testing.assert_close(
            with_folded_norms(expected)(*inputs)[:2], expected(*inputs)[:2], rtol=1e-4, atol=1e-4
        )


def refusal(files: list[Path], version: int = 2) -> str:
    with pytest.raises(SpotError) as error:
        read_weights(files, NanoTrack(version))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.slow
def test_wrong_files_are_refused_in_one_line(files, tmp_path):
    backbone, head = files["nano.onnx"]
    assert "check arch=nanotrack_v1" in refusal([backbone, head], version=1)
    assert "add arch=nanotrack_v1" in refusal(files["nano.pth"], version=1)
    assert "two ONNX files" in refusal([head])
    again = Path(shutil.copy(head, tmp_path / "again.onnx"))
    assert "both files are the head" in refusal([head, again])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no ONNX at all")
    assert "broken.onnx" in refusal([backbone, broken])
    other = tmp_path / "other.pth"
    torch.save({"epoch": 1, "state_dict": {"backbone.conv.weight": torch.zeros(1)}}, other)
    assert "not a checkpoint of a tracker" in refusal([other])
