"""A run folder of somebody else may name networks, and nothing that runs code."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from spot.annotation.project import open_project
from spot.runtime.errors import SpotError
from spot.runtime.run_record import with_recorded_options
from spot.runtime.trusted_targets import refuse_foreign_targets
from spot.tracking.loading import recorded_arch
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


def test_own_settings_may_refer_to_those_of_other_commands():
    own = composed("test", "arch=ocean").arch  # its schedule names training.epochs, which spot.test lacks
    refuse_foreign_targets(OmegaConf.create({"a": {"_target_": str(own.network._target_)}}), own, Path("config.yaml"))


@pytest.mark.parametrize("arch", ["transt", "ocean", "transt_tiny", "ocean_small"])
def test_our_architectures_are_allowed(arch):
    refuse_foreign_targets(composed("train", f"arch={arch}").arch, OmegaConf.create(), Path("config.yaml"))


def test_a_test_reads_no_code_from_a_run_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("arch: {name: x, network: {_target_: os.system, command: echo}}\n")
    with pytest.raises(SpotError, match=r"os\.system"):
        recorded_arch(composed("test"), tmp_path / "checkpoints" / "last.ckpt")


BAD = "{_target_: os.system, command: echo}"


@pytest.mark.parametrize("data", [f"{{train: [{BAD}]}}", "{train: ['${evil}']}"])
def test_dense_boxes_open_no_data_set_that_only_a_run_folder_names(tmp_path, data):
    (tmp_path / "config.yaml").write_text(f"data: {data}\nlabels: 2\nseed: 0\nevil: {BAD}\n")
    with pytest.raises(SpotError, match=r"config\.yaml: data names os\.system"):
        open_project(composed("annotate", "data=videos"), tmp_path, [])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("options: ['+data.train=[{_target_: os.system}]']", r"os\.system"),
        ("options: [\"hydra.job_logging.handlers.x={'()': os.system}\"]", r"hydra\.job_logging"),
        ("options: [experiment=smoke], flags: ['--config-dir=outputs/x/conf']", "--config-dir=outputs/x/conf"),
        ("options: [experiment=smoke], flags: ['--multirun']", "--multirun"),
    ],
)
def test_recorded_options_run_no_code(tmp_path, monkeypatch, record, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "x").mkdir(parents=True)
    (tmp_path / "outputs" / "x" / "config.yaml").write_text(f"record: {{{record}}}\n")
    with pytest.raises(SpotError, match=message):
        with_recorded_options("train", ["run=x", "paths.outputs=outputs"])
    (tmp_path / "outputs" / "x" / "config.yaml").write_text("record: {options: [experiment=smoke, run=x]}\n")
    words = ["run=x", "paths.outputs=outputs"]
    assert with_recorded_options("train", words) == ["experiment=smoke", *words]


def test_settings_inside_a_safetensors_file_are_checked(tmp_path):
    file = tmp_path / "net.safetensors"
    escaped = '{"name": "x", "network": {"\\u005ftarget_":"os.system"}}'
    save_file({"x": torch.zeros(1)}, file, {"config": escaped})
    with pytest.raises(SpotError, match=r"net\.safetensors: arch names os\.system"):
        recorded_arch(composed("test"), file)
    save_file({"x": torch.zeros(1)}, file, {"config": "{"})
    with pytest.raises(SpotError, match=r"net\.safetensors: the settings inside are damaged"):
        recorded_arch(composed("test"), file)
