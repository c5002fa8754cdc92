"""What all commands do with errors."""

import errno
import logging
import re
import sys

import pytest
import yaml
from hydra import compose, initialize_config_dir

from spot.runtime.command import command
from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "outputs/run/metrics.csv")


def users_mistake() -> None:
    raise SpotError("labels=0: choose at least 1")


@pytest.mark.parametrize(
    ("action", "line"),
    [
        pytest.param(full_disk, "error: outputs/run/metrics.csv: the disk is full; free space", id="disk full"),
        pytest.param(users_mistake, "error: labels=0: choose at least 1", id="user's mistake"),
    ],
)
def test_one_line_and_status_1(action, line, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["evaluate", f"paths.outputs={tmp_path}"])
    # Hydra closes all log handlers, and that of absl, which OpenVINO loads, would close pytest's stderr
    monkeypatch.setattr(logging, "shutdown", lambda handlers: None)

    @command("evaluate")
    def main(cfg) -> None:
        action()

    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err.strip()
    assert end.value.code == 1
    assert said.startswith(line)
    assert "\n" not in said


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_folder() / "hydra/help").glob("*.yaml")))
def test_help_lists_the_choices_of_the_command_alone(name):
    """Every group that the command composes, and no other."""
    text = yaml.safe_load((config_folder() / f"hydra/help/{name}.yaml").read_text())["template"]
    listed = text.partition("\nChoices\n")[2]
    named = [group for groups in re.findall(r"\$\{choices:([\w,/]+)\}", listed) for group in groups.split(",")]
    some = dict(re.findall(r"^([\w/]+): ([\w, ]+)$", listed, re.MULTILINE))  # groups of which the command takes a part
    for group, choices in some.items():
        assert all((config_folder() / f"{group}/{choice}.yaml").is_file() for choice in choices.split(", "))
    named += some
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        chosen = compose(name, return_hydra_config=True).hydra.runtime.choices
    own = {group for group in chosen if not group.startswith(("hydra/", "backbone@"))}
    assert set(named) <= own | {"backbone", "supervision/label_filter"}
    assert own - {"paths", "local", "module", "datamodule"} <= set(named)
