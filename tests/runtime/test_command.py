"""What all commands do with errors."""

import errno
import sys

import pytest

from spot.runtime.command import command
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

    @command("evaluate")
    def main(cfg) -> None:
        action()

    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err.strip()
    assert end.value.code == 1
    assert said.startswith(line)
    assert "\n" not in said
