"""A run folder of version 0.1 names classes and options that have moved."""

import inspect

import pytest
from hydra.utils import get_object, instantiate

from spot.runtime.renamed_options import new_settings
from spot.runtime.yaml_files import read_yaml

TARGETS = [
    "spot.learning.csv_logger.EpochCSVLogger",
    "spot.learning.loggers.open_wandb",
    "spot.learning.schedules.WarmupLogDecay",
    "spot.learning.sparse_tracker.Recipe",
    "spot.models.backbones.EfficientNetLite0",
    "spot.models.backbones.MobileNetV2",
    "spot.models.backbones.ResNet50",
    "spot.models.backbones.SmallCNN",
    "spot.models.ocean.Ocean",
    "spot.models.ocean_backbone.OceanResNet50",
    "spot.models.ocean_loss.OceanLoss",
    "spot.models.transt.TransT",
    "spot.models.transt_loss.TransTLoss",
    "spot.tracking.ocean.OceanTracker",
    "spot.tracking.transt.TransTTracker",
    "torch.optim.AdamW",
    "spot.data.datasets.synthetic.load",
]
ARCH = """
arch:
  name: transt_tiny
  network:
    _target_: spot.models.transt.TransT
    backbone: {_target_: spot.models.backbones.SmallCNN, widths: [16, 32, 64], blocks: [1, 1]}
    template_size: 64
    search_size: 128
    d_model: 64
    heads: 4
    layers: 2
    ffn: 256
    dropout: 0.0
    anchored: true
    pixel_mean: [0.485, 0.456, 0.406]
    pixel_std: [0.229, 0.224, 0.225]
  recipe: {_target_: spot.learning.sparse_tracker.Recipe, frozen_epochs: 2}
"""


@pytest.mark.parametrize("target", TARGETS)
def test_every_class_that_version_0_1_recorded_is_found(target):
    found = get_object(new_settings({"_target_": target})["_target_"])
    assert found.__name__ == target.rpartition(".")[2]
    assert inspect.isclass(found) or inspect.isfunction(found)


def test_a_network_of_version_0_1_is_built_from_its_config(tmp_path):
    (tmp_path / "config.yaml").write_text(ARCH)
    arch = read_yaml(tmp_path / "config.yaml").arch
    assert "frozen_epochs" not in arch.recipe
    assert instantiate(arch.network).frozen_epochs == 2
