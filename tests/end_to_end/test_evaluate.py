"""`python -m spot.evaluate` as a user runs it."""

import json

import numpy as np
import pytest

from tests.end_to_end.runs import ok, run

FRAMES = 8


@pytest.fixture(scope="module")
def lasot(tmp_path_factory):
    """LaSOT's own layout with two test videos, and results of two trackers in forms that are not ours."""
    home = tmp_path_factory.mktemp("LaSOT")
    rng = np.random.default_rng(0)
    names = ("airplane-1", "cat-1")
    (home / "testing_set.txt").write_text("\n".join(names) + "\n")
    for name in names:
        folder = home / name.split("-")[0] / name
        (folder / "img").mkdir(parents=True)
        boxes = np.rint(rng.uniform(20, 60, (FRAMES, 4)))
        absent = np.zeros(FRAMES, int)
        absent[5] = 1
        boxes[5] = 0
        (folder / "groundtruth.txt").write_text("".join("{:.0f},{:.0f},{:.0f},{:.0f}\n".format(*b) for b in boxes))
        (folder / "full_occlusion.txt").write_text(",".join(map(str, absent)))
        (folder / "out_of_view.txt").write_text(",".join(["0"] * FRAMES))
        for tracker, separator, noise in (("SP-TransT", "\t", 1), ("old_one", " ", 15)):
            result = home / "results/lasot" / tracker / f"{name}.txt"
            result.parent.mkdir(parents=True, exist_ok=True)
            rows = np.maximum(boxes + rng.normal(0, noise, boxes.shape), 1)
            result.write_text("\r\n".join(separator.join(f"{v:.3e}" for v in row) for row in rows))
    return home


def options(lasot, output):
    return (
        "benchmark=lasot",
        f"paths.lasot={lasot}",
        f"results={lasot / 'results'}",
        f"output={output / 'report'}",
    )


def test_evaluates_foreign_results(lasot, tmp_path):
    words = (*options(lasot, tmp_path), "trackers=[SP-TransT,old_one]", "plots=false")
    done = ok("evaluate", *words, outputs=tmp_path)
    assert done.stdout.index("SP-TransT") < done.stdout.index("old_one")
    assert "Protocol pysot" in done.stdout
    assert done.stdout.strip().endswith(str(tmp_path / "report/report.html"))
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    # an eighth of the frames is absent and stays in the denominator
    assert summary["old_one"]["success"] < summary["SP-TransT"]["success"] < 7 / 8


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["trackers=[nobody]"], "no results of tracker nobody", id="unknown tracker"),
        pytest.param(["treshold=1"], "treshold", id="unknown option"),
        pytest.param(["pack=true"], "LaSOT has no evaluation server", id="nothing to pack for"),
    ],
)
def test_what_is_wrong_takes_one_line_and_fails(lasot, tmp_path, arguments, complaint):
    done = run("evaluate", *options(lasot, tmp_path), *arguments, outputs=tmp_path)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "report").exists()


def test_help_explains_the_options(tmp_path):
    done = ok("evaluate", "--help", outputs=tmp_path)
    for key in ("trackers", "protocol", "bootstrap", "compare", "per_video", "attributes", "missing", "pack"):
        assert f"{key}=" in done.stdout
    assert "otb100" in done.stdout  # the choices of benchmark=
