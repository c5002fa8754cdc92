"""Weights that training starts from: written small, read back exactly, refused where they do not fit."""

import pytest
import torch
from hydra.utils import instantiate

from spot.architectures.start_weights import load_initial, read_start, write_start
from spot.runtime.errors import SpotError
from tests.training.configs import composed


@pytest.fixture(scope="module")
def networks():
    cfg = composed("train", "arch=ocean_tiny", "data=synthetic")
    return [instantiate(cfg.arch.network) for _ in range(2)]


@pytest.fixture(scope="module")
def file(networks, tmp_path_factory):
    """Start weights of an "ocean_tiny" whose backbone was not trained."""
    trained, fresh = networks
    trained.backbone.load_state_dict(fresh.backbone.state_dict())
    path = tmp_path_factory.mktemp("start") / "tiny.safetensors"
    write_start(path, trained, fresh, "ocean_tiny", "nothing")
    return path


def test_start_weights_come_back_in_half_precision(networks, file):
    trained, fresh = networks
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    load_initial(fresh, file, "ocean_tiny")
    for key, value in trained.state_dict().items():
        expected = value if torch.equal(value, before[key]) else value.half().to(value.dtype)
        assert torch.equal(fresh.state_dict()[key], expected), key


def test_what_the_backbone_has_already_is_left_out(networks, file):
    from safetensors import safe_open

    with safe_open(file, "pt") as content:
        keys = set(content.keys())
    assert keys
    assert not [key for key in keys if key.startswith("backbone.")]


def test_weights_of_another_architecture_are_refused(networks, file):
    with pytest.raises(SpotError, match="holds weights of arch=ocean_tiny, not transt_tiny; add arch=ocean_tiny"):
        read_start(file, networks[0], "transt_tiny")


def test_a_damaged_file_is_named(networks, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not tensors")
    with pytest.raises(SpotError, match=r"broken\.safetensors: cannot be read"):
        load_initial(networks[0], broken, "ocean_tiny")


def test_an_architecture_without_start_weights_says_what_to_expect(networks, caplog):
    before = {key: value.clone() for key, value in networks[0].state_dict().items()}
    load_initial(networks[0], "default", "ocean_tiny")
    assert "no start weights come with arch=ocean_tiny" in caplog.text
    assert all(torch.equal(value, before[key]) for key, value in networks[0].state_dict().items())
