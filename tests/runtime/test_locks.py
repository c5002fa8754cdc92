"""One process at a time writes a folder; who holds the lock is named, and whatever ends it frees it."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from spot.runtime.errors import SpotError
from spot.runtime.locks import lock_file, locked
from tests.paths import ROOT

HOLDER = """
import os, sys, time
from spot.runtime.locks import locked
with locked(sys.argv[1], "run smoke"):
    forked = os.fork()  # as a loader process, which outlives the first for a while
    if forked:
        print(forked, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "smoke"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    forked = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    os.kill(forked, signal.SIGKILL)


def test_a_second_process_is_refused_by_naming_the_first_until_that_is_killed(tmp_path, holder):
    says = rf"^run smoke is in use by process {holder.pid} on {socket.gethostname()}, started 20.*; wait for it"
    with pytest.raises(SpotError, match=says), locked(tmp_path / "smoke", "run smoke"):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "smoke", "run smoke"):
        assert f"process {os.getpid()}" in lock_file(tmp_path / "smoke").read_text()
    assert not list(tmp_path.iterdir())


def test_the_processes_of_one_run_share_the_lock(tmp_path, holder, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("NODE_RANK", "0")
    with locked(tmp_path / "smoke", "run smoke"):
        assert f"process {holder.pid}" in lock_file(tmp_path / "smoke").read_text()


def test_a_lock_can_be_taken_twice_and_is_freed_by_an_error(tmp_path):
    folder = tmp_path / "new" / "smoke"
    with pytest.raises(RuntimeError), locked(folder, "a"), locked(str(folder), "b"):  # noqa: PT012
        assert lock_file(folder).exists()
        raise RuntimeError
    assert not lock_file(folder).exists()
    assert not folder.exists()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    with (
        pytest.raises(SpotError, match=r"cannot be locked \(File name too long\)"),
        locked(tmp_path / ("x" * 255), "run"),
    ):
        pass
