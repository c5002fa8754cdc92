"""From a configuration to a network that is ready to learn."""

import pytest
import torch

from spot.runtime.errors import SpotError
from tests.training.configs import built, composed


def saved(tracker, folder):
    """A run's checkpoint file of the tracker, as far as weights go."""
    path = folder / "start.ckpt"
    content = {"state_dict": tracker.state_dict(), "hyper_parameters": dict(tracker.hparams), "epoch": 2}
    torch.save(content, path)
    return path


def test_training_starts_from_a_given_network(tmp_path):
    """Student and teacher alike are the teacher of the checkpoint, whatever the seed."""
    torch.manual_seed(1)
    first = built(composed("train", "arch=ocean_tiny", "data=synthetic"))
    for parameter in first.teacher.network.parameters():
        parameter.data += 1
    cfg = composed("train", "arch=ocean_tiny", "data=synthetic", f"initial={saved(first, tmp_path)}")
    second = built(cfg)
    for network in (second.student, second.teacher.network):
        for key, tensor in first.teacher.network.state_dict().items():
            assert torch.equal(network.state_dict()[key], tensor), key


def test_a_start_of_another_architecture_is_refused(tmp_path):
    path = saved(built(composed("train", "arch=transt_tiny", "data=synthetic")), tmp_path)
    with pytest.raises(SpotError, match="transt_tiny"):
        built(composed("train", "arch=ocean_tiny", "data=synthetic", f"initial={path}"))
