"""A run folder of somebody else may name networks, and nothing that runs code."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from spot.runtime.errors import SpotError
from spot.runtime.trusted_targets import refuse_foreign_targets
from spot.tracking.test_setup import recorded_arch
from tests.training.configs import composed


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.hub.load",
        "spot.architectures.weight_files.write_file",  # a function of ours that writes a file
        "spot.architectures.checkpoint.re.compile",  # what a module of ours imports
        "spot.architectures.checkpoint.Path",
        "spot.data.datasets.synthetic.load",
    ],
)
def test_other_targets_are_refused_by_name(target):
    node = OmegaConf.create({"network": {"backbone": [{"_target_": target}]}})
    with pytest.raises(SpotError, match=target):
        refuse_foreign_targets(node, OmegaConf.create(), Path("config.yaml"))
    refuse_foreign_targets(node, node, Path("config.yaml"))  # named by the user's own configuration


@pytest.mark.parametrize("arch", ["transt", "ocean", "transt_tiny", "ocean_small"])
def test_our_architectures_are_allowed(arch):
    refuse_foreign_targets(composed("train", f"arch={arch}").arch, OmegaConf.create(), Path("config.yaml"))


def test_a_test_reads_no_code_from_a_run_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("arch: {name: x, network: {_target_: os.system, command: echo}}\n")
    with pytest.raises(SpotError, match=r"os\.system"):
        recorded_arch(composed("test"), tmp_path / "checkpoints" / "last.ckpt")
