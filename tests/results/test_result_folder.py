"""Result files: the exact text of every format, and never half a file."""

from pathlib import Path

import numpy as np
import pytest

from spot.evaluation.vot.supervised import FAILED, INITIALISED, REGION, SKIPPED
from spot.results import result_folder as results
from spot.results.result_folder import ResultFolder
from spot.results.result_track import Track
from spot.runtime.errors import SpotError

TRACK = Track(
    boxes=np.array([[1, 2, 30, 40], [1.5, 2.25, 30, 40], [0, 0, 0, 0], [-3.00004, 7, 12.34567, 9]]),
    scores=np.array([1, 0.5, 0, 0.123456789]),
    seconds=np.array([0.5, 0.25, 0.125, 0.01]),
    codes=np.array([INITIALISED, REGION, FAILED, SKIPPED]),
)
BOXES = "1.0000,2.0000,30.0000,40.0000\n1.5000,2.2500,30.0000,40.0000\n"
LATER = "0.0000,0.0000,0.0000,0.0000\n-3.0000,7.0000,12.3457,9.0000\n"
CONFIDENCES = "\n0.500000\n0.000000\n0.123457\n"
SECONDS = "0.500000\n0.250000\n0.125000\n0.010000\n"


@pytest.mark.parametrize(
    ("result_format", "expected"),
    [
        pytest.param(
            "plain",
            {"a-1.txt": BOXES + LATER, "a-1_confidence.value": CONFIDENCES},
            id="OTB, LaSOT, UAV, NFS, TrackingNet",
        ),
        pytest.param(
            "got10k",
            {
                "a-1/a-1_001.txt": BOXES + LATER,
                "a-1/a-1_001_confidence.value": CONFIDENCES,
                "a-1/a-1_time.txt": SECONDS,
            },
            id="GOT-10k wants times",
        ),
        pytest.param(
            "vot",
            {
                "baseline/a-1/a-1_001.txt": "1\n1.5000,2.2500,30.0000,40.0000\n2\n0\n",
                "baseline/a-1/a-1_001_confidence.value": CONFIDENCES,
            },
            id="VOT codes: 1 initialised, 2 failed, 0 skipped",
        ),
        pytest.param(
            "vot_lt",
            {
                "longterm/a-1/a-1_001.txt": "1\n1.5000,2.2500,30.0000,40.0000\n" + LATER,
                "longterm/a-1/a-1_001_confidence.value": CONFIDENCES,
                "longterm/a-1/a-1_time.txt": SECONDS,
            },
            id="VOT-LT: confidences, no restarts",
        ),
    ],
)
def test_files_of_a_format(result_format: str, expected: dict[str, str], tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path, result_format)
    assert not folder.is_finished("a-1", 4)
    folder.write("a-1", TRACK)
    found = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == expected
    assert folder.is_finished("a-1", 4)


def test_a_result_of_another_length_is_not_finished(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path)
    folder.write("a", TRACK)
    assert not folder.is_finished("a", 5)


def test_boxes_come_last_so_that_they_prove_the_rest(tmp_path: Path, monkeypatch) -> None:
    """Dying between the files of one video must leave it unfinished."""
    folder = ResultFolder(tmp_path, "vot_lt")
    write, written = results.write_result, []

    def die_at_the_third(file: Path, content: str) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(file)
        write(file, content)

    monkeypatch.setattr(results, "write_result", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        folder.write("a", TRACK)
    assert not folder.is_finished("a", 4)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SpotError, match="No space left"):
        ResultFolder(tmp_path).write("a", TRACK)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(SpotError, match=r"paths\.results"):
        ResultFolder(tmp_path / "results").write("a", TRACK)


def test_unknown_format() -> None:
    with pytest.raises(SpotError, match="plain, got10k, vot, vot_lt"):
        ResultFolder("x", "otb")
