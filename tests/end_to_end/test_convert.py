"""spot.convert from its options to files that the other commands take."""

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from spot.architectures.nanotrack.published import published_key, swap_channels
from spot.architectures.ocean.backbone import OceanResNet50
from spot.architectures.transt.network import TransT
from spot.convert import convert
from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.tracking.loading import build_network
from tests.end_to_end.runs import complaint

DATA = ("data=synthetic", "data.videos=3", "data.frames=8", "data.size=[80,64]")


def options(outputs: Path, *choices: str, command: str = "convert") -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(command, ["arch=transt_tiny", f"paths.outputs={outputs}", *choices])


def run(outputs: Path, *choices: str) -> Path:
    return convert(options(outputs, *choices))[0]


def network(outputs: Path, seed: int) -> TransT:
    torch.manual_seed(seed)
    return instantiate(OmegaConf.to_container(options(outputs).arch.network, resolve=True))


def net(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["net"]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A published teacher."""
    path = tmp_path / "TransT_ep0400_t.pth.tar"
    tensors = {TransT.published.published_key(k): t for k, t in network(tmp_path, 1).state_dict().items()}
    torch.save({"net_type": "TransT", "net": tensors, "net_info": None}, path)
    return path


def test_published_files_come_back_as_they_were(tmp_path: Path, published: Path) -> None:
    native = run(tmp_path, f"source={published}", f"target={tmp_path}/native.pt")
    back = run(tmp_path, f"source={native}", f"target={tmp_path}/back.pth.tar", "kind=published", "model=teacher")
    assert list(net(back)) == list(net(published))
    assert all(torch.equal(t, net(published)[k]) for k, t in net(back).items())


def test_all_forms_are_tested_alike(tmp_path: Path, published: Path) -> None:
    """A run's checkpoint, its conversions and a published file load into spot.test's network."""
    torch.manual_seed(0)
    state = {f"teacher.network.{k}": t for k, t in network(tmp_path, 1).state_dict().items()}
    state |= {f"student.{k}": t for k, t in network(tmp_path, 2).state_dict().items()}
    checkpoint = tmp_path / "run" / "checkpoints" / "epoch_0025.ckpt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"state_dict": state, "epoch": 24, "hyper_parameters": {"arch": "transt_tiny"}}, checkpoint)
    teacher = run(tmp_path, f"source={tmp_path}/run", "epoch=25", f"target={tmp_path}/teacher.pt")
    student = run(
        tmp_path, f"source={tmp_path}/run", f"target={tmp_path}/student_s.pth.tar", "model=student", "kind=published"
    )
    cfg = options(tmp_path, command="test")
    for path, seed, model in (
        (checkpoint, 1, "teacher"),
        (teacher, 1, "teacher"),
        (published, 1, "teacher"),
        (student, 2, "student"),
    ):
        built, loaded = build_network(cfg, path)
        assert all(torch.equal(t, built.state_dict()[k]) for k, t in network(tmp_path, seed).state_dict().items())
        assert loaded.model == model
        assert loaded.epoch == (400 if path == published else 25)


def test_backbone_of_ocean(tmp_path: Path) -> None:
    """The published file's prefixes go, what lies behind layer3 too, and the result loads."""
    torch.manual_seed(3)
    original = OceanResNet50("none").state_dict()
    prefix = "module.feature_extractor."
    state = {prefix + k.removeprefix("stem."): t for k, t in original.items()}
    state[f"{prefix}layer4.0.conv1.weight"] = torch.zeros(512, 1024, 1, 1)
    source = tmp_path / "imagenet_pretrain.model"
    torch.save({"state_dict": state}, source, _use_new_zipfile_serialization=False)
    target = run(tmp_path, "arch=ocean", f"source={source}", f"target={tmp_path}/backbone.pt", "kind=backbone")
    loaded = OceanResNet50(str(target)).state_dict()
    assert loaded.keys() == original.keys()
    assert all(torch.equal(t, loaded[k]) for k, t in original.items())


def test_onnx_by_the_name_of_the_target(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = []
    monkeypatch.setattr(
        "spot.architectures.export.export_onnx", lambda network, target: exported.append((network, target))
    )
    written = convert(options(tmp_path, f"source={published}", f"target={tmp_path}/net.onnx"))
    assert [file.name for file in written] == ["net_template.onnx", "net_search.onnx"]
    ((weights, target),) = exported
    assert target == tmp_path / "net.onnx"
    assert torch.equal(weights.projection.weight, network(tmp_path, 1).projection.weight)
    written[1].touch()
    with pytest.raises(SpotError, match=r"net_search.onnx exists; overwrite=true"):
        convert(options(tmp_path, f"source={published}", f"target={tmp_path}/net.onnx"))


def test_sampler_state_in_and_out(tmp_path: Path) -> None:
    cfg = options(tmp_path, *DATA)
    first = instantiate(cfg.data.train[0]).names[0]
    path = {
        "key_frame_ids": [1],
        "relay_frame_ids": [1, 4],
        "bboxes": [[1.5, 2.0, 10.0, 12.25], [2.5, 2.0, 10.0, 12.5]],
        "confidence": [1.0, 0.875],
    }
    source = tmp_path / "sampler_state_run.json"
    source.write_text(json.dumps({first: [path]}))
    folder = run(tmp_path, *DATA, f"source={source}", f"target={tmp_path}/run/sampler_state", "kind=state")
    for state in (folder, folder.parent):  # the state's own folder, or the run's
        back = run(tmp_path, f"source={state}", f"target={tmp_path}/back.json", "kind=state", "overwrite=true")
        assert json.loads(back.read_text()) == {first: [path]}
    run(tmp_path, *DATA, f"source={source}", f"target={folder}", "kind=state", "overwrite=true")
    assert sorted(p.name for p in folder.parent.iterdir()) == ["sampler_state"]
    with pytest.raises(SpotError, match="add data="):
        run(tmp_path, f"source={source}", f"target={tmp_path}/other", "kind=state")
    with pytest.raises(SpotError, match="is not a sampler state"):
        run(tmp_path, *DATA, f"source={source}", f"target={tmp_path}/run", "kind=state", "overwrite=true")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (["source=null"], "give source= and target="),
        (["source=absent.pth"], "source=absent.pth: no such file"),
        (["kind=pickle"], "kind=pickle: choose native, safetensors, published, backbone, onnx, state"),
        (["target={source}"], "exists; overwrite=true"),
        (["epoch=25"], "epoch=25 chooses among a run's checkpoints"),
        (["arch=transt_small"], "does not fit TransT"),
        (["model=student"], "has the teacher, not the student"),
        (["kind=backbone"], "arch=transt_tiny takes no weights"),
        (["kind=backbone", "arch=transt"], "not a state dict of tensors"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    tmp_path: Path, published: Path, choices: list[str], said: str
) -> None:
    before = published.read_bytes()
    filled = [choice.format(source=published) for choice in choices]
    with pytest.raises((SpotError, InstantiationException), match=said):
        run(tmp_path, f"source={published}", f"target={tmp_path}/target.pt", *filled)
    assert list(tmp_path.iterdir()) == [published]
    assert published.read_bytes() == before


def test_command_ends_with_one_line(tmp_path: Path, published: Path) -> None:
    line = complaint("convert", f"source={published}", f"target={tmp_path}/x.pt", "arch=ocean", outputs=tmp_path)
    assert line == f"error: {published} holds net_type=TransT, not Ocean; add arch=transt"


def test_nanotracks_onnx_pair_becomes_a_start_for_training(tmp_path: Path) -> None:
    """Written by this command too, so no foreign file is needed."""
    nano = "arch=nanotrack"
    made = instantiate(options(tmp_path, nano).arch.network)
    torch.save({"epoch": 1, "state_dict": published_nanotrack(made)}, tmp_path / "nano.pth")
    pair = convert(
        options(tmp_path, nano, f"source={tmp_path}/nano.pth", f"target={tmp_path}/n.onnx", "kind=published")
    )
    assert [path.name for path in pair] == ["n_backbone.onnx", "n_head.onnx"]
    native = run(tmp_path, nano, f"source=[{pair[0]},{pair[1]}]", f"target={tmp_path}/nano.pt")
    assert set(net(native)) == {key for key in made.state_dict() if not key.startswith("iou_head.")}
    with pytest.raises(SpotError, match="no such file"):
        run(tmp_path, nano, f"source=[{pair[0]},{tmp_path}/missing.onnx]", f"target={tmp_path}/x.pt")


def published_nanotrack(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    tensors = swap_channels(network.state_dict())
    return {published_key(key, 2): tensor for key, tensor in tensors.items() if not key.startswith("iou_head.")}
