"""The study's report says what its raw figures say."""

import json

import numpy as np
import pytest

from tests.paths import ROOT


@pytest.fixture
def study():
    import study_plan
    import study_report

    return study_plan, study_report


def test_readme_and_table_say_what_the_figures_say(study):
    jobs = study[0].jobs([0, 1, 2])
    report = study[1]
    rows = json.loads((ROOT / "docs" / "study.json").read_text())
    assert {(row["setting"], row["k"], row["seed"]) for row in rows} <= {(j.setting, j.k, j.seed) for j in jobs}
    assert report.summary(rows, len(jobs)) in (ROOT / "README.md").read_text()
    for k in (2, 3, 5):
        assert report.difference(rows, k) in (ROOT / "docs" / "study_results.md").read_text()


def test_difference_is_that_of_common_seeds_and_its_interval_holds_it(study):
    rng = np.random.default_rng(0)

    def row(setting, seed, gain):
        scores = {f"v{i}": float(x) for i, x in enumerate(rng.normal(0.5 + gain, 0.001, 13))}
        return {"setting": setting, "k": 3, "seed": seed, "scores": scores}

    rows = [row("sparse", seed, 0) for seed in range(3)] + [row("spot", seed, 0.1) for seed in (1, 2, 3)]
    text = study[1].difference(rows, 3)
    assert text.startswith(("+10.0", "+9.9", "+10.1"))
    assert text.endswith("2 seeds)")
    np.testing.assert_allclose(study[1].interval(np.full((3, 13), 0.25)), 0.25)
    assert study[1].difference(rows, 5) is None


def test_a_page_without_the_marks_is_left_alone(study, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match=r"README\.md has no <!-- study -->"):
        study[1].write_between_marks("text", page)
    page.write_text("a\n<!-- study -->\nold<!-- /study -->\nb")
    study[1].write_between_marks("new\n", page)
    assert page.read_text() == "a\n<!-- study -->\nnew\n<!-- /study -->\nb"
