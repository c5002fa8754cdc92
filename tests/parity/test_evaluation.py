"""Evaluation against the output of the toolkits themselves (golden/j_eval)."""

import json

import numpy as np
import pytest

from spot.evaluation.ground_truth import GroundTruth
from spot.evaluation.one_pass import score
from spot.evaluation.protocols import get_protocol
from spot.evaluation.vot.long_term import long_term_scores
from spot.evaluation.vot.regions import raster_overlap
from spot.evaluation.vot.supervised import (
    Run,
    accuracy_robustness,
    expected_average_overlap,
    expected_overlap,
)
from spot.results.vot_files import corner_points
from tests.paths import GOLDEN, requires_shared

pytestmark = requires_shared
SEQUENCES = tuple(f"seq{i:02d}" for i in range(12))
TRUTH = {"clean": "gt_clean", "lasot": "gt", "nan": "gt_nan", "otb_like_lasot_gt": "gt"}


@pytest.fixture(scope="module")
def data():
    with np.load(GOLDEN / "j_eval.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def results():
    return json.loads((GOLDEN / "j_eval_results.json").read_text())["results"]


def joined(data, kind):
    return np.asfortranarray(np.concatenate([data[f"{s}_{kind}"] for s in SEQUENCES]))


def make_truth(data, kind, benchmark):
    lengths = [len(data[f"{s}_gt"]) for s in SEQUENCES]
    visible = joined(data, "absent") == 1  # the toolkit's name for the opposite
    return GroundTruth(
        benchmark, SEQUENCES, np.concatenate([[0], np.cumsum(lengths)]), joined(data, TRUTH[kind]), visible
    )


CASES = [
    # toolkit's output, truth, benchmark whose exceptions the toolkit applied, protocol, exclude_invalid
    *[(f"spot_pysot_{k}", k, "LaSOT" if k == "lasot" else "OTB", "pysot", False) for k in ("clean", "lasot", "nan")],
    *[
        (f"orig_pysot_{k}", k, "LaSOT" if k == "lasot" else "OTB", "pysot_original", False)
        for k in ("clean", "lasot", "nan")
    ],
    *[(f"got10k_lasot_experiment_{k}", k, "OTB", "got10k", False) for k in ("clean", "lasot", "nan")],
    *[
        (f"pytracking_{kind}{'_exclude_invalid' if exclude else ''}", kind, benchmark, "pytracking", exclude)
        for kind, benchmark in (("clean", "OTB"), ("lasot", "LaSOT"), ("nan", "UAV123"), ("otb_like_lasot_gt", "OTB"))
        for exclude in (False, True)
    ],
]


@pytest.mark.parametrize(("output", "kind", "benchmark", "protocol", "exclude"), CASES, ids=[c[0] for c in CASES])
def test_dialect_equals_its_toolkit(data, results, output, kind, benchmark, protocol, exclude):
    expected = results[output]
    truth = make_truth(data, kind, benchmark)
    scores = score(truth, joined(data, "pred"), get_protocol(protocol, exclude))
    summary = scores.summary()
    assert summary["success"] == pytest.approx(expected["success_auc"], abs=1e-6)
    assert summary["precision"] == pytest.approx(expected["precision20"], abs=1e-6)
    assert summary["normalized_precision"] == pytest.approx(expected["norm_precision20"], abs=1e-6)
    for curve, key in (
        (scores.success, "success_curve"),
        (scores.precision, "precision_curve"),
        (scores.normalized_precision, "norm_precision_curve"),
    ):
        np.testing.assert_allclose(curve.mean(axis=0), expected[key], rtol=0, atol=1e-6)
    if "norm_precision_score_mean" in expected:  # what the GOT-10k toolkit calls normalised precision
        assert summary["normalized_precision_auc"] == pytest.approx(expected["norm_precision_score_mean"], abs=1e-6)
    for v, name in enumerate(SEQUENCES):
        if "per_sequence_overlap" in expected:
            np.testing.assert_allclose(scores.success[v], expected["per_sequence_overlap"][name], rtol=0, atol=1e-6)


def test_stark_differs_from_pytracking_only_where_boxes_leave_the_image(data):
    """STARK counts boxes with x <= 0 or y <= 0, which pytracking takes as invalid; elsewhere the two are one."""
    truth = make_truth(data, "clean", "OTB")
    predicted = joined(data, "pred")
    stark, pytracking = (score(truth, predicted, get_protocol(p)).success for p in ("stark", "pytracking"))
    outside = truth.per_video((truth.boxes[:, :2] <= 0).any(axis=1)) > 0
    assert outside.any()
    assert not outside.all()
    np.testing.assert_array_equal(stark[~outside], pytracking[~outside])
    assert (stark[outside].mean(axis=1) > pytracking[outside].mean(axis=1)).all()


def test_average_overlap_and_success_rates_equal_the_got10k_toolkit(data, results):
    expected = results["got10k_ao_sr"]
    bare = make_truth(data, "lasot", "GOT-10k")
    sizes = np.array([data[f"{s}_wh"] for s in SEQUENCES], float)
    truth = GroundTruth(bare.benchmark, bare.names, bare.offsets, bare.boxes, bare.visible, sizes)
    scores = score(truth, joined(data, "pred"), get_protocol("got10k"))
    np.testing.assert_allclose(scores.overlap_curve, expected["succ_curve101"], rtol=0, atol=1e-6)
    summary = scores.summary()
    assert summary["ao"] == pytest.approx(expected["ao_over_all_frames"], abs=1e-6)
    assert summary["sr50"] == pytest.approx(expected["sr50"], abs=1e-6)
    assert summary["sr75"] == pytest.approx(expected["sr75"], abs=1e-6)
    assert summary["mao"] == pytest.approx(expected["mean_over_sequences_ao"], abs=1e-6)


def regions_of(rows):
    """Corner points and codes of a trajectory in which codes stand alone in the first column."""
    is_code = np.isnan(rows[:, 1])
    regions = np.full((len(rows), 8), np.nan)
    regions[~is_code] = corner_points(rows[~is_code])
    return regions, np.where(is_code, rows[:, 0], -1).astype(np.int64)


def vot_runs(data, less):
    """Runs with regions cut at the frame less some pixels."""
    runs = []
    for v, name in enumerate(SEQUENCES):
        regions, codes = regions_of(data[f"{name}_vot_traj"])
        bounds = np.tile(data[f"{name}_wh"] - less, (len(codes), 1))
        runs.append(Run(v, codes, raster_overlap(regions, data[f"{name}_vot_gt"], bounds)))
    return runs


def test_region_overlaps_equal_the_compiled_extension_to_the_bit(data):
    for run, name in zip(vot_runs(data, 0), SEQUENCES, strict=True):
        expected = data[f"{name}_vot_overlaps"]  # with burn-in taken away
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(run.overlaps[known], expected[known])


def test_accuracy_and_robustness_equal_the_toolkit(data, results):
    expected = results["vot"]
    scores = accuracy_robustness(vot_runs(data, 0), len(SEQUENCES))
    assert scores.accuracy == pytest.approx(expected["accuracy"], abs=1e-6)
    assert scores.robustness == pytest.approx(expected["robustness"], abs=1e-6)
    assert scores.failures == expected["lost_number"]
    np.testing.assert_allclose(scores.video_accuracy, list(expected["per_sequence_accuracy"].values()), atol=1e-6)
    assert scores.video_failures.tolist() == [f[0] for f in expected["failures"].values()]


@pytest.mark.parametrize(
    ("benchmark", "key"), [("VOT2018", "eao"), ("VOT2016", "eao_VOT2016"), ("VOT2019", "eao_VOT2019")]
)
def test_expected_average_overlap_equals_the_toolkit(data, results, benchmark, key):
    runs = vot_runs(data, 1)
    curve = expected_overlap(runs, [np.ones(len(run.codes), bool) for run in runs])
    assert expected_average_overlap(curve, benchmark) == pytest.approx(results["vot"][key], abs=1e-6)


def test_long_term_measures_equal_the_toolkit(data, results):
    """The toolkit was run with the clean truth, made absent where the flags say so."""
    expected = results["votlt_f1"]
    overlaps, confidences = [], []
    for name in SEQUENCES:
        true, boxes = corner_points(data[f"{name}_gt_clean"]), corner_points(data[f"{name}_pred"])
        true[data[f"{name}_absent"] != 1] = np.nan
        boxes[0] = np.nan
        overlaps.append(raster_overlap(boxes, true, np.tile(data[f"{name}_wh"], (len(true), 1))))
        confidences.append(np.where(np.arange(len(true)) == 0, np.nan, data[f"{name}_score"]))
    offsets = np.concatenate([[0], np.cumsum([len(o) for o in overlaps])])
    present = joined(data, "absent") == 1
    scores = long_term_scores(np.concatenate(overlaps), np.concatenate(confidences), present, offsets)
    assert scores.f1 == pytest.approx(expected["f1"], abs=1e-6)
    assert scores.precision == pytest.approx(expected["precision"], abs=1e-6)
    assert scores.recall == pytest.approx(expected["recall"], abs=1e-6)
    np.testing.assert_allclose(scores.curve, [expected["recall_curve"], expected["precision_curve"]], atol=1e-6)
