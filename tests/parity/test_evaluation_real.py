"""Published numbers from what real trackers really output: ATOM and SiamRPN++ on LaSOT, Ocean on VOT2019."""

import json
import lzma
import tarfile

import pytest

from spot.data.datasets import lasot, vot
from spot.reporting.evaluate_benchmark import evaluate
from spot.reporting.options import Options
from tests.paths import SHARED, requires_shared

pytestmark = [requires_shared, pytest.mark.slow]
QUIET = {"plots": False, "report": False}


def unpack(archive, folder, wanted=lambda name: True):
    with tarfile.open(archive) as file:
        file.extractall(folder, [m for m in file if wanted(m.name)], filter="data")


@pytest.fixture(scope="module")
def lasot_results(tmp_path_factory):
    """LaSOT's test videos without their frames, and the folder of the results."""
    folder = tmp_path_factory.mktemp("lasot")
    with tarfile.open(SHARED / "data/lasot_annotations.tar.xz") as file:
        members = {m.name: m for m in file}
        (listing,) = (m for name, m in members.items() if name.endswith("testing_set.txt"))
        home = listing.name.removesuffix("testing_set.txt")
        names = file.extractfile(listing).read().decode().split()
        folders = tuple(f"{home}{name.rpartition('-')[0]}/{name}/" for name in names)
        chosen = [m for name, m in members.items() if name.startswith(folders) or name == listing.name]
        file.extractall(folder, chosen, filter="data")
    for tracker in ("ATOM", "SiamRPN++"):
        unpack(SHARED / f"data/results/lasot/{tracker}.tar.xz", folder / "results/LaSOT")
    return lasot.load(str(folder / home.strip("/")), "test"), folder / "results"


@pytest.mark.parametrize(
    ("protocol", "exclude_invalid", "atom", "siamrpn"),
    [
        pytest.param("pysot", False, (0.5143, 0.5054, 0.5768), (0.4956, 0.4914, 0.5694), id="the official rules"),
        pytest.param("stark", True, (0.5260, None, None), (0.5055, None, None), id="absent frames do not count"),
    ],
)
def test_lasot(lasot_results, protocol, exclude_invalid, atom, siamrpn):
    videos, results = lasot_results
    options = Options(protocol=protocol, exclude_invalid=exclude_invalid, **QUIET)
    summary = evaluate(videos, results, ["ATOM", "SiamRPN++"], None, options, quiet=True)
    for tracker, expected in (("ATOM", atom), ("SiamRPN++", siamrpn)):
        for key, value in zip(("success", "precision", "normalized_precision"), expected, strict=True):
            if value is not None:
                assert summary[tracker][key] == pytest.approx(value, abs=5e-5), (tracker, key)


@pytest.fixture(scope="module")
def vot_results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vot")
    unpack(SHARED / "data/results/vot2019/Ocean_VOT2019_0.323.tar.xz", folder / "results/VOT2019")
    (folder / "VOT2019").mkdir()
    annotations = folder / "VOT2019.json"
    annotations.write_bytes(lzma.decompress((SHARED / "data/results/vot2019/VOT2019.json.xz").read_bytes()))
    assert len(json.loads(annotations.read_text())) == 60
    return vot.load(str(folder), "VOT2019", str(annotations)), folder / "results"


@pytest.mark.parametrize(
    ("bounds", "eao", "accuracy"),
    [
        pytest.param("none", 0.3227, 0.5979, id="the frame's right and bottom edges are not known"),
        pytest.param("polygons", 0.3216, 0.5952, id="cut at the largest numbers, among them a box's width and height"),
    ],
)
def test_vot2019(vot_results, bounds, eao, accuracy):
    videos, results = vot_results
    summary = evaluate(videos, results, None, None, Options(bounds=bounds, **QUIET), result_format="vot", quiet=True)
    (scores,) = summary.values()
    assert scores["eao"] == pytest.approx(eao, abs=5.1e-5)
    assert scores["accuracy"] == pytest.approx(accuracy, abs=5.1e-5)
    assert scores["failures"] == 80
    assert scores["robustness"] == pytest.approx(0.4013, abs=1e-4)


def test_vot2019_tags(vot_results):
    """Tag lists shorter than the video count as untagged from their end on; every tag has an EAO of its own."""
    videos, results = vot_results
    from spot.reporting.evaluate_benchmark import evaluate_trackers
    from spot.results.searching import find_trackers

    found = find_trackers(results, "VOT2019", None)
    result, boxes = evaluate_trackers(videos, "VOT2019", found, Options(bounds="none"), "vot")
    (row,) = result.trackers
    assert set(row.attributes) == {
        "camera_motion",
        "illum_change",
        "motion_change",
        "size_change",
        "occlusion",
        "empty",
    }
    assert all(0 < value < 1 for value in row.attributes.values())
    assert boxes(row.name, "agility").shape == (len(videos["agility"]), 4)
