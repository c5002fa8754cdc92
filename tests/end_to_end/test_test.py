"""spot.test from its configuration to result files: names, restarts, refusals, several processes."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.test import test as run_test
from spot.tracking.runner import Runner
from tests.end_to_end.runs import run

TINY = [
    "arch=transt_tiny",
    "benchmark=synthetic",
    "benchmark.videos.videos=3",
    "benchmark.videos.frames=6",
    "benchmark.videos.size=[96,80]",
    "accelerator=cpu",
    "devices=1",
    "batch=2",
    "backend=torch",
]


def configuration(outputs: Path, *options: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("test", [*TINY, f"paths.outputs={outputs}", *options])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run named `tiny` with checkpoints of epochs 2 and 4, whose teacher and student differ."""
    outputs = tmp_path_factory.mktemp("outputs")
    folder = outputs / "tiny" / "checkpoints"
    folder.mkdir(parents=True)
    arch = OmegaConf.to_container(configuration(outputs).arch, resolve=True)
    for epoch in (2, 4):
        weights = {}
        for seed, prefix in enumerate(("student.", "teacher.network.")):
            torch.manual_seed(10 * epoch + seed)
            network = instantiate(arch["network"])
            weights |= {prefix + key: value for key, value in network.state_dict().items()}
        checkpoint = {"epoch": epoch - 1, "state_dict": weights, "hyper_parameters": {"arch": "transt_tiny"}}
        torch.save(checkpoint, folder / f"epoch_{epoch:04d}.ckpt")
    return outputs


def boxes(folder: Path) -> dict[str, np.ndarray]:
    return {p.stem: np.loadtxt(p, delimiter=",") for p in sorted(folder.glob("*.txt"))}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param(["run=tiny"], "tiny_teacher_e004", id="the latest epoch's teacher by default"),
        pytest.param(["run=tiny", "epoch=2"], "tiny_teacher_e002", id="another epoch"),
        pytest.param(["run=tiny", "model=student"], "tiny_student_e004", id="the student"),
        pytest.param(["run=tiny", "tracker=mine"], "mine", id="a name of one's own"),
        pytest.param(["checkpoint=OUTPUTS/tiny"], "tiny_teacher_e004", id="a run's folder"),
        pytest.param(["checkpoint=OUTPUTS/moved.ckpt"], "transt_tiny", id="a lone file"),
    ],
)
def test_tracks_the_benchmark(outputs: Path, options: list[str], name: str, capsys) -> None:
    lone = outputs / "moved.ckpt"
    lone.write_bytes((outputs / "tiny" / "checkpoints" / "epoch_0004.ckpt").read_bytes())
    options = [option.replace("OUTPUTS", str(outputs)) for option in options]
    folder = run_test(configuration(outputs, *options, "overwrite=true"))
    assert folder == outputs / "results" / "Synthetic" / name
    found = boxes(folder)
    assert list(found) == [f"Synthetic_Test_{i:06d}" for i in (1, 2, 3)]
    assert all(rows.shape == (6, 4) for rows in found.values())
    assert "tracked 3 videos, 18 frames" in capsys.readouterr().out


def test_teacher_and_student_are_different_networks(outputs: Path) -> None:
    teacher, student = (
        boxes(run_test(configuration(outputs, "run=tiny", f"model={m}", f"tracker=as_{m}")))
        for m in ("teacher", "student")
    )
    assert any(np.abs(teacher[name] - student[name]).max() > 0.1 for name in teacher)


def test_speed_is_that_of_a_single_stream(outputs: Path, capsys, monkeypatch) -> None:
    batches = []
    one_by_one = Runner.__init__
    monkeypatch.setattr(
        Runner, "__init__", lambda self, *a, **k: (one_by_one(self, *a, **k), batches.append(self.batch))[0]
    )
    folder = run_test(configuration(outputs, "run=tiny", "tracker=timed", "speed=true", "batch=3"))
    assert batches == [3, 1]
    speed = json.loads((folder / "speed.json").read_text())
    assert speed["frames"] == 3
    assert speed["frames_per_second"] > 0
    assert f"single stream: {speed['frames_per_second']:.1f} frames/s" in capsys.readouterr().out
    assert len(boxes(folder)) == 3  # a file that readers of results leave alone


def test_finished_videos_are_skipped(outputs: Path, capsys) -> None:
    cfg = configuration(outputs, "run=tiny", "tracker=again")
    folder = run_test(cfg)
    first, second, third = sorted(folder.glob("*.txt"))
    second.unlink()
    third.write_text("1,2,3,4\n")  # what a crash of another program may leave
    before = first.stat().st_mtime_ns
    run_test(cfg)
    assert "tracked 2 videos, 12 frames" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == before
    run_test(cfg)
    assert "3 of 3 videos finished before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        pytest.param("videos=2", [1, 2], id="the first two"),
        pytest.param("videos=[Synthetic_Test_000003,Synthetic_Test_000001]", [1, 3], id="names"),
        pytest.param("videos=Synthetic_Test_000002", [2], id="one name"),
    ],
)
def test_some_videos(outputs: Path, choice: str, expected: list[int]) -> None:
    folder = run_test(configuration(outputs, "run=tiny", "tracker=some", "overwrite=true", choice))
    assert list(boxes(folder)) == [f"Synthetic_Test_{i:06d}" for i in expected]


@pytest.mark.parametrize(
    ("result_format", "files"),
    [
        pytest.param("got10k", ["{0}/{0}_001.txt", "{0}/{0}_time.txt"], id="GOT-10k"),
        pytest.param("vot", ["baseline/{0}/{0}_001.txt"], id="VOT"),
        pytest.param("vot_lt", ["longterm/{0}/{0}_001.txt", "longterm/{0}/{0}_001_confidence.value"], id="VOT-LT"),
    ],
)
def test_benchmarks_choose_their_format(outputs: Path, result_format: str, files: list[str]) -> None:
    options = ["run=tiny", f"tracker={result_format}", f"benchmark.result_format={result_format}", "videos=1"]
    folder = run_test(configuration(outputs, *options))
    for file in files:
        assert len((folder / file.format("Synthetic_Test_000001")).read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param([], "run=<name>", id="nothing to test"),
        pytest.param(["run=tiny", "epoch=3"], "there are: 2, 4", id="an epoch that was not kept"),
        pytest.param(["run=absent"], "no checkpoints", id="no such run"),
        pytest.param(["checkpoint=absent.ckpt"], "absent.ckpt", id="no such file"),
        pytest.param(["run=tiny", "model=pupil"], "teacher, student", id="no such network"),
        pytest.param(["run=tiny", "arch=transt"], "add arch=transt_tiny", id="another architecture"),
        pytest.param(["run=tiny", "arch.network.d_model=48"], "does not fit", id="another size"),
        pytest.param(["run=tiny", "arch.network.layers=1"], "does not fit", id="another depth"),
        pytest.param(["run=tiny", "videos=[nobody]"], "no video named nobody", id="no such video"),
        pytest.param(["run=tiny", "videos=0"], "at least 1", id="no videos"),
        pytest.param(["run=tiny", "batch=0"], "at least 1", id="no batch"),
        pytest.param(["run=tiny", "benchmark.result_format=x"], "plain, got10k", id="unknown format"),
    ],
)
def test_refuses_in_one_line(outputs: Path, options: list[str], says: str) -> None:
    with pytest.raises(SpotError, match=says) as caught:
        run_test(configuration(outputs, *options, *([] if "tracker=" in options else ["tracker=refused"])))
    assert "\n" not in str(caught.value)


def test_a_broken_checkpoint_is_named(outputs: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.ckpt"
    half.write_bytes((outputs / "tiny" / "checkpoints" / "epoch_0004.ckpt").read_bytes()[:5000])
    with pytest.raises(SpotError, match=r"half\.ckpt"):
        run_test(configuration(outputs, f"checkpoint={half}"))


def test_results_of_two_checkpoints_are_never_mixed(outputs: Path) -> None:
    """The trap: train anew under the same name, test again, and half the old results count as finished."""
    folder = run_test(configuration(outputs, "run=tiny", "tracker=mix", "epoch=2"))
    other = configuration(outputs, "run=tiny", "tracker=mix", "epoch=4")
    with pytest.raises(SpotError, match="epoch, weights"):
        run_test(other)
    old = boxes(folder)
    other.overwrite = True
    run_test(other)
    assert any(np.abs(boxes(folder)[name] - old[name]).max() > 0.1 for name in old)
    assert json.loads((folder / "tracker.json").read_text())["epoch"] == 4


def test_foreign_results_are_left_alone(outputs: Path) -> None:
    folder = outputs / "results" / "Synthetic" / "foreign"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("1,2,3,4\n")
    with pytest.raises(SpotError, match="from elsewhere"):
        run_test(configuration(outputs, "run=tiny", "tracker=foreign", "overwrite=true"))
    assert (folder / "mine.txt").exists()


def command(outputs: Path, *options: str) -> subprocess.CompletedProcess:
    return run("test", *TINY, *options, outputs=outputs, CUDA_VISIBLE_DEVICES="")


@pytest.mark.slow
def test_two_processes_give_the_same_results(outputs: Path) -> None:
    alone = boxes(run_test(configuration(outputs, "run=tiny", "tracker=one_process", "batch=1")))
    done = command(outputs, "run=tiny", "tracker=two_processes", "devices=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tracked 3 videos, 18 frames") == 1, "told once, for both"
    together = boxes(outputs / "results" / "Synthetic" / "two_processes")
    assert together.keys() == alone.keys()
    for name in alone:
        np.testing.assert_allclose(together[name], alone[name], atol=1e-3)


@pytest.mark.slow
def test_an_error_ends_all_processes_with_one_line(outputs: Path) -> None:
    """Only the second process meets the corrupt video; the first keeps what it has and tells."""
    options = ["run=tiny", "tracker=stopped", "benchmark.videos.seed=1", "videos=2"]
    instantiate(configuration(outputs, *options).benchmark.videos)
    (rendered,) = (outputs / "synthetic").glob("*seed1_*")
    for frame in (rendered / "Synthetic_Test_000002").glob("*.jpg"):
        frame.write_bytes(b"\xff\xd8 no JPEG")
    done = command(outputs, *options, "devices=2")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "unreadable frames are more than corrupt_fraction" in errors[0]
    assert "Traceback" not in done.stderr
    assert list(boxes(outputs / "results" / "Synthetic" / "stopped")) == ["Synthetic_Test_000001"]
