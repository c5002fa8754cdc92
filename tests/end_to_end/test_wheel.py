"""A built wheel runs from any folder: code, configuration and type marker travel together."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.paths import ROOT

CONFIGURATION = {str(file.relative_to(ROOT)) for file in ROOT.glob("conf/**/*.yaml")} - {
    str(file.relative_to(ROOT)) for file in ROOT.glob("conf/local/*.yaml")
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling", reason="the build backend is not installed; pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    _pip("install", "--target", str(folder), str(wheel))
    return folder


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _spot(installed: Path, folder: Path, *arguments: str) -> str:
    """Output of `python -m spot.<arguments>` in `folder`, with the installed wheel before the checkout."""
    env = {k: v for k, v in os.environ.items() if not k.endswith("_ROOT") and k != "SPOT_OUTPUTS"}
    done = subprocess.run(
        [sys.executable, "-m", f"spot.{arguments[0]}", *arguments[1:]],
        cwd=folder,
        env={**env, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_holds_every_source_and_configuration_file_and_the_type_marker(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(file.relative_to(ROOT)) for file in ROOT.glob("spot/**/*.py")}
    assert sources | {f"spot/{name}" for name in CONFIGURATION} | {"spot/py.typed"} <= held
    assert not [name for name in held if name.startswith(("tests/", "conf/", "spot/conf/local/"))]


PROGRAM = """
from hydra import compose, initialize_config_dir
import spot.runtime.command as c
print(c.__file__, c.config_folder())
with initialize_config_dir(str(c.config_folder()), version_base="1.3"):
    cfg = compose("train", ["experiment=sp_ocean_k5"])
print(cfg.arch.name, cfg.labels)
"""


def test_package_comes_from_the_wheel_and_its_configuration_composes_in_another_folder(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    place, composed = done.stdout.splitlines()
    assert place == f"{installed / 'spot/runtime/command.py'} {installed / 'spot/conf'}", done.stderr
    assert composed == "ocean 5"


def test_writes_to_outputs_of_the_current_folder(installed, tmp_path):
    tiny = ("data.videos=2", "data.frames=8", "data.size=[64,64]")
    said = _spot(installed, tmp_path, "sample", "data=synthetic", "labels=2", *tiny)
    (written,) = (tmp_path / "outputs/labels").glob("*.json")
    assert f"wrote {written.relative_to(tmp_path)}" in said
    assert not (installed / "outputs").exists()
