"""Weights out of every kind of checkpoint, and what is said of files that are none."""

import json
import os
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from spot.architectures.backbones.resnet import ResNet50
from spot.architectures.backbones.small_cnn import SmallCNN
from spot.architectures.checkpoint import (
    find_checkpoint,
    load_network,
    native_content,
    read_weights,
    safetensors_config,
    write_safetensors,
)
from spot.architectures.ocean.backbone import OceanResNet50
from spot.architectures.ocean.network import Ocean
from spot.architectures.transt.network import TransT
from spot.architectures.weight_files import read_file, write_file
from spot.runtime.errors import SpotError
from tests.paths import GOLDEN, requires_shared


def tiny(seed: int = 0) -> TransT:
    torch.manual_seed(seed)
    return TransT(SmallCNN((8, 8, 8), (0, 0)), 32, 64, d_model=8, heads=2, layers=1, ffn=8)


def tiny_ocean() -> Ocean:
    return Ocean(SmallCNN((8, 8, 8), (0, 0)), 64, 128, grid=11, template_margin=1, channels=8, tower_depth=1)


def published_net(network: nn.Module) -> dict[str, torch.Tensor]:
    """In an order of its own, as the published program registers its parts in another one."""
    return OrderedDict((TransT.published.published_key(k), t) for k, t in reversed(network.state_dict().items()))


def run_content(student: nn.Module, teacher: nn.Module | None, epoch: int = 25) -> dict:
    state = {f"student.{k}": t for k, t in student.state_dict().items()}
    if teacher is not None:
        state |= {f"teacher.network.{k}": t for k, t in teacher.state_dict().items()}
    return {"state_dict": state, "hyper_parameters": {"arch": "transt_tiny"}, "epoch": epoch - 1}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(t, b.state_dict()[k]) for k, t in a.state_dict().items())


def save(folder: Path, content: object, name: str = "file.pt") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name)
    return folder / name


STUDENT, TEACHER = tiny(1), tiny(2)
OPTIMIZER = {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}


@pytest.mark.parametrize(
    ("model", "expected", "has_teacher"),
    [
        (None, TEACHER, True),  # the teacher is what is tested by default
        ("teacher", TEACHER, True),
        ("student", STUDENT, True),
        (None, STUDENT, False),  # runs without pseudo labels have none
    ],
)
def test_network_of_a_run(tmp_path: Path, model: str | None, expected: TransT, has_teacher: bool) -> None:
    path = save(tmp_path, run_content(STUDENT, TEACHER if has_teacher else None))
    network = tiny()
    loaded = load_network(path, network, model, "transt_tiny")
    assert same(network, expected)
    assert (loaded.model, loaded.epoch) == ("teacher" if expected is TEACHER else "student", 25)


def test_run_without_a_teacher_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpotError, match="has no teacher; it has: student"):
        load_network(save(tmp_path, run_content(STUDENT, None)), tiny(), "teacher")


def test_a_folder_stands_for_its_latest_checkpoint(tmp_path: Path) -> None:
    for epoch, network in ((25, STUDENT), (100, TEACHER)):
        save(tmp_path, run_content(network, None, epoch), f"checkpoints/epoch_{epoch:04d}.ckpt")
    network = tiny()
    assert load_network(tmp_path, network).epoch == 100
    assert same(network, TEACHER)
    assert find_checkpoint(tmp_path, 25).name == "epoch_0025.ckpt"
    with pytest.raises(SpotError, match="no checkpoint of epoch 50; there are: 25, 100"):
        find_checkpoint(tmp_path, 50)


@pytest.mark.parametrize(
    ("name", "extra", "prefix", "role", "epoch"),
    [
        ("TransT_ep0400_t.pth.tar", {"net_info": None}, "", "teacher", 400),  # as the published program writes it
        ("TransT_ep0025_s.pth.tar", {"epoch": 25, "optimizer": OPTIMIZER}, "", "student", 25),
        ("renamed.pth", {"epoch": 25, "optimizer": OPTIMIZER}, "", "student", 25),  # the optimiser gives it away
        ("renamed.pth", {}, "module.", None, None),  # saved from a network wrapped for several GPUs
    ],
)
def test_published_file(
    tmp_path: Path, name: str, extra: dict, prefix: str, role: str | None, epoch: int | None
) -> None:
    net = {prefix + k: t for k, t in published_net(TEACHER).items()}
    path = save(tmp_path, {"net_type": "TransT", "net": net, **extra}, name)
    network = tiny()
    loaded = load_network(path, network, arch="transt_tiny")
    assert same(network, TEACHER)
    assert (loaded.model, loaded.epoch) == (role, epoch)


def test_published_to_native_and_back_is_bit_exact(tmp_path: Path) -> None:
    original = {"net_type": "TransT", "net": published_net(STUDENT), "epoch": 25, "optimizer": OPTIMIZER}
    source = save(tmp_path, original, "TransT_ep0025_s.pth.tar")
    native, back = tmp_path / "native.pt", tmp_path / "back.pth.tar"
    write_file(native, native_content(read_weights(source, tiny()), "transt_tiny"))
    write_file(back, TransT.published.content(read_weights(native, tiny(), "student", "transt_tiny")))
    found = torch.load(back, weights_only=True)
    assert list(found["net"]) == list(original["net"])
    assert all(torch.equal(found["net"][k], t) and found["net"][k].dtype == t.dtype for k, t in original["net"].items())
    assert {k: found[k] for k in ("net_type", "epoch", "optimizer")} == {
        k: original[k] for k in ("net_type", "epoch", "optimizer")
    }
    assert found.keys() == original.keys()


@requires_shared
@pytest.mark.parametrize("arch", ["transt", "ocean"])
def test_keys_are_the_published_ones(tmp_path: Path, arch: str) -> None:
    """Names, shapes and types at full size, and the published order through our file and back."""
    if arch == "transt":
        file, network = "b_transt_keys.json", TransT(ResNet50("none"))
    else:
        file, network = "c_ocean_keys.json", Ocean(OceanResNet50("none"))
    keys = [(k, tuple(shape), dtype) for k, shape, dtype, _ in json.loads((GOLDEN / file).read_text())["keys"]]
    ours = {network.published.published_key(k): t for k, t in network.state_dict().items()}
    assert {(k, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for k, t in ours.items()} == set(keys)

    source = save(tmp_path, {"net_type": type(network).__name__, "net": {k: ours[k] for k, *_ in keys}})
    write_file(tmp_path / "native.pt", native_content(read_weights(source, network), arch))
    back = network.published.content(read_weights(tmp_path / "native.pt", network, arch=arch))["net"]
    assert list(back) == [k for k, *_ in keys]
    assert all(torch.equal(t, ours[k]) for k, t in back.items())


def test_wrong_architecture_is_named(tmp_path: Path) -> None:
    ocean_file = save(tmp_path, {"net_type": "Ocean", "net": {}}, "o.pth.tar")
    with pytest.raises(SpotError, match="net_type=Ocean, not TransT; add arch=ocean"):
        load_network(ocean_file, tiny())
    run = save(tmp_path, run_content(STUDENT, None))
    with pytest.raises(SpotError, match="arch=transt_tiny, not transt; add arch=transt_tiny"):
        load_network(run, tiny(), arch="transt")
    native = save(tmp_path, native_content(read_weights(run, tiny()), "transt_tiny"), "n.pt")
    with pytest.raises(SpotError, match="add arch=transt_tiny"):
        load_network(native, tiny(), arch="transt")
    with pytest.raises(SpotError, match=r"does not fit Ocean .missing: box_scale, .* more; surplus: .*; check arch="):
        load_network(native, tiny_ocean())


def test_the_other_network_of_the_pair_is_not_taken(tmp_path: Path) -> None:
    path = save(tmp_path, {"net_type": "TransT", "net": published_net(STUDENT)}, "TransT_ep0025_s.pth.tar")
    with pytest.raises(SpotError, match="has the student, not the teacher; add model=student"):
        load_network(path, tiny(), "teacher")


def test_faulty_keys_are_listed_and_nothing_is_loaded(tmp_path: Path) -> None:
    net = published_net(STUDENT)
    for key in [k for k in net if k.startswith("iou_embed")]:
        del net[key]
    net["class_embed.layers.2.bias"] = torch.zeros(3)
    net["stranger"] = torch.zeros(1)
    path = save(tmp_path, {"net_type": "TransT", "net": net})
    network = tiny()
    with pytest.raises(SpotError) as raised:
        load_network(path, network)
    text = str(raised.value)
    assert "missing: iou_head.0.weight, iou_head.0.bias, iou_head.2.weight and 3 more" in text
    assert "surplus: stranger;" in text
    assert "misshapen: class_head.4.bias)" in text
    assert "\n" not in text
    assert same(network, tiny())


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A published student with its `settings`, an object of a class that exists only while the file is written."""
    module = types.ModuleType("ltr_like")
    exec("class Settings:\n    def __init__(self):\n        self.path = 'x'", module.__dict__)
    sys.modules["ltr_like"] = module
    content = {"net_type": "TransT", "net": published_net(STUDENT), "epoch": 25, "settings": [module.Settings()]}
    path = save(tmp_path, content, "TransT_ep0025_s.pth.tar")
    del sys.modules["ltr_like"]
    return path


def test_objects_of_other_classes_are_left_out(foreign: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As they are in the published files, whether their classes are installed or not."""
    weights = read_weights(foreign, tiny())
    assert weights.left_out == ("settings",)
    assert (weights.model, weights.epoch, weights.rest) == ("student", 25, {})
    assert torch.equal(weights.tensors["projection.weight"], STUDENT.projection.weight)
    assert not caplog.text
    read_weights(foreign, tiny(), allow_pickle=True)  # the option of version 0.1
    assert "allow_pickle=true is not needed any more" in caplog.text


class Trap:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "format before PyTorch 1.6"])
def test_code_in_a_file_never_runs(tmp_path: Path, zipped: bool) -> None:
    traps = [
        Trap(Path.mkdir, tmp_path / "trapped0"),
        Trap(os.mkdir, str(tmp_path / "trapped1")),
        Trap(eval, f"__import__('os').mkdir('{tmp_path}/trapped2')"),
        Trap(getattr, "text", "upper"),
        {Trap(os.getcwd): 1, "list": [Trap(list, (1, 2))], "set": {Trap(os.getcwd)}},
    ]
    content = {"net_type": "TransT", "net": published_net(STUDENT), "stats": traps}
    torch.save(content, tmp_path / "file.pt", _use_new_zipfile_serialization=zipped)
    network = tiny()
    load_network(tmp_path / "file.pt", network)
    assert same(network, STUDENT)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(traps[0]))  # a pickle where the old format has its number
    with pytest.raises(SpotError, match="not a file of tensors"):
        load_network(tmp_path / "bare.pt", network)
    assert not list(tmp_path.glob("trapped*"))
    torch.load(tmp_path / "file.pt", weights_only=False)
    assert len(list(tmp_path.glob("trapped*"))) == 3  # the traps themselves work


CONFIG = {"name": "transt_tiny", "network": {"_target_": "spot.architectures.transt.network.TransT", "heads": 2}}


def test_safetensors_hold_weights_and_settings(tmp_path: Path) -> None:
    source = save(tmp_path, run_content(STUDENT, TEACHER))
    target = tmp_path / "net.safetensors"
    write_safetensors(target, read_weights(source, tiny()), CONFIG)
    network = tiny()
    loaded = load_network(target, network, arch="transt_tiny")
    assert same(network, TEACHER)
    assert (loaded.model, loaded.epoch) == ("teacher", 25)
    assert safetensors_config(target) == CONFIG
    assert safetensors_config(source) is None
    with pytest.raises(SpotError, match="arch=transt_tiny, not transt; add arch=transt_tiny"):
        load_network(target, tiny(), arch="transt")
    target.write_bytes(target.read_bytes()[:100])
    with pytest.raises(SpotError, match=r"net\.safetensors: cannot be read as safetensors"):
        load_network(target, tiny())


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    whole = save(tmp_path, run_content(STUDENT, None))
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(whole.read_bytes()[:-3000])
    text = tmp_path / "text.ckpt"
    text.write_text("no tensors here")
    cases = {
        tmp_path / "absent.ckpt": "No such file",
        cut: "damaged",
        text: "is not a file of tensors",
        save(tmp_path, [1, 2], "list.pt"): "is not a checkpoint of a tracker",
        save(tmp_path, dict(TEACHER.state_dict()), "bare.pt"): "is not a checkpoint of a tracker",
    }
    for path, said in cases.items():
        with pytest.raises(SpotError, match=said) as raised:
            load_network(path, tiny())
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_old_format_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_file(tmp_path / "old.pth")["a"], torch.arange(3))
