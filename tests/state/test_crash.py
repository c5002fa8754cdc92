"""What is left when writing stops: the old state or the new one, whole; the next start continues."""

import os
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from spot.runtime.errors import SpotError
from spot.state.store import StateStore
from spot.state.version_files import versions_in
from tests.paths import ROOT
from tests.state.plain import Plain, content, make_store, random_results

CALLS = ("open", "pwrite", "ftruncate", "truncate", "fsync", "rename", "replace", "mkdir", "unlink")
LENGTHS = [40, 7, 60]
FSYNC = os.fsync


class PowerCut(BaseException):
    """Nothing that the program may catch runs after it."""


class Interruption:
    """Counts the calls that change the disk, and fails the one of a given number; a write is left half done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int = -1, error: BaseException | None = None) -> None:
        self.at, self.error, self.calls = at, error, []
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(name, FSYNC if name == "fsync" else getattr(os, name)))

    def wrap(self, name, call):
        def wrapped(*arguments, **options):
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **options)
            self.calls.append(name)
            down = isinstance(self.error, PowerCut) and len(self.calls) > self.at + 1
            if len(self.calls) == self.at + 1 or down:
                if name == "pwrite" and not down:
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2], arguments[2])
                raise self.error
            return call(*arguments, **options)

        return wrapped


def results(epoch: int):
    return random_results(np.random.default_rng(epoch), LENGTHS, 40)


def create(store: StateStore | None, folder: Path) -> None:
    make_store(folder, LENGTHS, results(0))


def commit(store: StateStore, folder: Path) -> None:
    store.commit(results(4), 4)


def commit_little(store: StateStore, folder: Path) -> None:
    few = random_results(np.random.default_rng(4), LENGTHS, 2)
    store.commit(few, 4)


def rollback(store: StateStore, folder: Path) -> None:
    store.rollback(1, store.at(1).digest)


def prune(store: StateStore, folder: Path) -> None:
    store.prune(keep_from=2)


def snapshot(store: StateStore, folder: Path) -> None:
    store.snapshot(2)


def prepared(folder: Path) -> StateStore:
    """Four versions, the latest of which has a log of its own."""
    store = make_store(folder, LENGTHS, results(0))
    for epoch in (1, 2, 3):
        store.commit(results(epoch), epoch)
    return store


ACTIONS = [
    pytest.param(create, id="create: whole or not at all"),
    pytest.param(commit, id="commit that starts another log"),
    pytest.param(commit_little, id="commit that appends"),
    pytest.param(rollback, id="rollback"),
    pytest.param(prune, id="prune"),
    pytest.param(snapshot, id="snapshot"),
]
CAUSES = [
    pytest.param(lambda: PowerCut(), id="killed"),
    pytest.param(lambda: OSError(28, "No space left on device"), id="disk full"),
]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_stopped_anywhere_leaves_a_whole_state(tmp_path, action, cause):
    def before(folder: Path) -> StateStore | None:
        return None if action is create else prepared(folder)

    done = tmp_path / "done" / "s"
    store = before(done)
    known = versions(done)
    with pytest.MonkeyPatch.context() as patch:
        watch = Interruption(patch)
        action(store, done)
    known |= versions(done)
    first = None if action is create else prepared(tmp_path / "first" / "s").at(99).digest
    final = StateStore.open(done).at(99).digest

    assert watch.calls
    for at in range(len(watch.calls)):
        folder = tmp_path / str(at) / "s"
        store = before(folder)
        files = files_below(folder.parent)
        with pytest.MonkeyPatch.context() as patch:
            Interruption(patch, at, cause())
            with pytest.raises((PowerCut, SpotError)) as raised:
                action(store, folder)

        found = versions(folder)
        assert newest(folder) in (first, final), "neither the old nor the new state is in force"
        assert found.items() <= known.items()
        if raised.type is SpotError:
            assert "could not be written (No space left on device)" in str(raised.value)
            assert final in found or files_below(folder.parent) <= files, "nothing half written stays"

        # The next start continues.
        if final not in found or action in (rollback, prune, snapshot):
            action(StateStore.open(folder) if found else None, folder)
        assert StateStore.open(folder).at(99).digest == final
        assert same_files(folder, done)


def versions(folder: Path) -> dict[str, Plain]:
    """Content of each version by its digest; fails where one is damaged."""
    if not StateStore.exists(folder):
        return {}
    store = StateStore.open(folder)
    store.verify()
    states = [store.at(epoch) for epoch in range(5) if epoch >= min(versions_in(store.folder))]
    return {state.digest: content(state) for state in states}


def newest(folder: Path) -> str | None:
    return StateStore.open(folder).at(99).digest if StateStore.exists(folder) else None


def files_below(folder: Path) -> set[Path]:
    return {f for f in folder.rglob("*") if f.is_file()}


def same_files(folder: Path, other: Path) -> bool:
    mine, its = ({f.name: f.read_bytes() for f in where.iterdir()} for where in (folder, other))
    return mine == its


def test_everything_is_on_the_disk_before_the_switch(tmp_path, monkeypatch):
    """At each renaming, all that was written has been flushed; after it, the folder is."""
    store = prepared(tmp_path / "s")
    files, unflushed, log = {}, set(), []
    opened, written, renamed = os.open, os.pwrite, os.replace

    def open_(path, *arguments, **options):
        number = opened(path, *arguments, **options)
        files[number] = str(path)
        return number

    def pwrite(number, *arguments):
        unflushed.add(files[number])
        return written(number, *arguments)

    def fsync(number):
        unflushed.discard(files[number])
        log.append(("flush", Path(files[number]).name))

    def rename(source, target):
        assert not unflushed
        log.append(("rename", Path(target).name))
        return renamed(source, target)

    for name, call in {"open": open_, "pwrite": pwrite, "fsync": fsync, "replace": rename}.items():
        monkeypatch.setattr(os, name, call)
    store.commit(results(4), 4)
    assert log[-2:] == [("rename", "000004-000004.state"), ("flush", "s")]
    assert [what for what, _ in log].count("rename") == 1


def python(script: str, *arguments: object, **options) -> subprocess.Popen:
    lines = "import sys\nfrom tests.state.plain import *\n" + textwrap.dedent(script)
    command = [sys.executable, "-c", lines, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_a_file_that_cannot_grow_is_refused_by_the_system_itself(tmp_path):
    """A limit on file size stands for a full disk: the kernel takes half a write and then refuses."""
    script = """
        import resource, signal
        from spot.runtime.errors import SpotError
        store = StateStore.open(sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        try:
            store.commit(random_results(np.random.default_rng(1), [9000], 4000), 1)
        except SpotError as error:
            print(error)
    """
    assert resource.RLIMIT_FSIZE is not None
    store = make_store(tmp_path / "s", [9000])
    digest, files = store.at(9).digest, {f: f.stat().st_size for f in (tmp_path / "s").iterdir()}
    out, err = python(script, tmp_path / "s").communicate(timeout=900)
    assert "could not be written (File too large); free space, then start again" in out, err
    assert {f: f.stat().st_size for f in (tmp_path / "s").iterdir()} == files
    assert StateStore.open(tmp_path / "s").at(9).digest == digest


COMMITTING = """
    store = StateStore.open(sys.argv[1])
    for epoch in range(store.at(10**9).epoch + 1, 10**9):
        print(epoch, flush=True)
        store.commit(random_results(np.random.default_rng(epoch), [300, 500], 100), epoch)
        store.prune(keep_from=epoch - 2)
"""


def test_kills_at_random_moments_do_not_change_what_is_learnt(tmp_path):
    rng = np.random.default_rng(0)
    make_store(tmp_path / "s", [300, 500])
    for _ in range(4):
        process = python(COMMITTING, tmp_path / "s")
        assert process.stdout is not None
        for _ in range(rng.integers(2, 6)):
            assert process.stdout.readline().strip().isdigit()
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.communicate()
        StateStore.open(tmp_path / "s").verify()
    reached = StateStore.open(tmp_path / "s").at(10**9)
    assert reached.epoch > 4
    through = make_store(tmp_path / "t", [300, 500])
    for epoch in range(1, reached.epoch + 1):
        through.commit(random_results(np.random.default_rng(epoch), [300, 500], 100), epoch)
    assert through.at(10**9).digest == reached.digest


def test_readers_see_whole_versions_while_another_process_writes(tmp_path):
    make_store(tmp_path / "s", [300, 500])
    process = python(COMMITTING, tmp_path / "s")
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        store, seen = StateStore.open(tmp_path / "s"), [0]
        while len(set(seen)) < 12:
            state = store.at(10**9)
            assert [len(path) for path in content(state)] == state.explored_counts.tolist()
            seen.append(state.version)
        assert seen == sorted(seen)
    finally:
        process.kill()
        process.communicate()
