"""`spot NAME` in a shell, `spot.name(...)` in Python."""

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

from spot.runtime.console import as_option, command_names
from spot.runtime.errors import SpotError
from tests.annotation.clips import image, true_box, write_clips
from tests.paths import ROOT


def console(*words):
    program = f"import sys; sys.argv = ['spot', *{list(words)!r}]; from spot.runtime.console import main; main()"
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_the_console_command_is_the_module():
    asked = console("track", "--cfg", "job", "run=a b")
    direct = subprocess.run(
        [sys.executable, "-m", "spot.track", "--cfg", "job", "run=a b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout == direct.stdout


def test_help_lists_all_commands_and_a_wrong_name_is_corrected():
    said = console("--help").stdout
    assert all(f"  {name}" in said for name in command_names())
    wrong = console("trian")
    assert (wrong.returncode, wrong.stderr) == (1, "error: no command trian; did you mean train?\n")


@pytest.mark.parametrize("name", command_names())
def test_every_command_is_a_function_of_its_configuration(name):
    module = importlib.import_module(f"spot.{name}")
    assert list(inspect.signature(getattr(module, name)).parameters) == ["cfg"]


TORCH = ("torch", "pytorch_lightning", "torchmetrics", "kornia")
IMPORTS = {  # one after another in one process: what each must not load, since it takes long
    "spot": ("torch", "hydra", "cv2"),
    "spot.evaluate, spot.reporting.evaluate_benchmark, spot.reporting.report": (
        *TORCH,
        "matplotlib",
        "pandas",
        "scipy",
    ),
    "spot.data.video, spot.data.datasets.trackingnet": TORCH,
    "spot.train": TORCH,
}


def test_imports_load_nothing_heavy_before_it_is_needed():
    program = f"import sys\nfor names, heavy in {IMPORTS!r}.items():\n exec('import ' + names)\n"
    program += " print(names, [each for each in heavy if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{names} []" for names in IMPORTS], done.stderr


@pytest.mark.parametrize("value", ["it's", "a=b", "x,y", "[1]", "null", "50%", "ü", "C:\\x"])
def test_texts_survive_the_command_line_syntax(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"key={as_option(value)}"])
    assert override.value() == value


def test_what_a_constructor_refuses_is_the_callers_error(tmp_path):
    """Hydra wraps it."""
    pytest.importorskip("timm")
    import spot

    clips = write_clips(tmp_path / "clips", 2, ("one",))
    options = {"video": str(clips / "one"), "box": [1, 1, 9, 9], "initial": "default", "arch": "ostrack_tiny"}
    with pytest.raises(SpotError, match=r"^arch\.network\.search_size=130: give a multiple of the patch size 8"):
        spot.track("arch.network.search_size=130", **options)


def test_commands_and_tracker_from_python(tmp_path):
    import spot

    clips = write_clips(tmp_path / "clips", 6, ("one",))
    options = {"arch": "ocean_tiny", "initial": "default", "overlay": False, "accelerator": "cpu", "backend": "torch"}
    file = spot.track(f"output={tmp_path}", video=str(clips / "one"), box=true_box(0).tolist(), **options)
    assert len(file.read_text().splitlines()) == 7

    tracker = spot.load("default", arch="ocean_tiny", accelerator="cpu")
    found = list(tracker.track(clips / "one", true_box(0)))
    assert found[0][1] == 1.0
    rows = np.loadtxt(file, delimiter=",", skiprows=1, usecols=(3, 4, 5, 6))
    assert np.stack([box for box, _ in found]).shape == rows.shape
    with pytest.raises(SpotError, match="not x, y, w, h with an area inside the frame"):
        tracker.start(image(0), [500, 0, 10, 10])
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        spot.nothing  # noqa: B018
