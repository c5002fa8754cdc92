"""Studies: what a finished run is recognised by, and what their tables say."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.paths import ROOT


@pytest.fixture
def runs():
    import runs

    return runs


@pytest.fixture
def tables():
    import study_tables

    return study_tables


def rows_of(setting, k, seed, scores):
    return [
        {"setting": setting, "k": k, "seed": seed, "video": f"v{i:02d}", "score": float(score)}
        for i, score in enumerate(scores)
    ]


def test_a_finished_run_is_skipped_and_one_with_other_settings_refused(runs, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(runs, "spot", lambda command, outputs, log, options: ran.append(command))
    job = runs.Job("spot", 3, 0, ("experiment=demo", f"initial={tmp_path}/start"), ())
    (tmp_path / job.run).mkdir()
    runs.work(job, tmp_path)
    runs.work(job, tmp_path)
    assert ran == ["train", "test"]
    assert set(json.loads((tmp_path / job.run / "done.json").read_text())) == {"commit", "config"}
    with pytest.raises(SystemExit, match="was made with other settings; delete the folder"):
        runs.work(runs.Job("spot", 3, 0, ("experiment=demo", "training.steps=7"), ()), tmp_path)
    elsewhere = tmp_path / "moved"
    moved = runs.Job("spot", 3, 0, ("experiment=demo", f"initial={elsewhere}/start"), ())
    assert runs.config_hash(moved, elsewhere) == runs.config_hash(job, tmp_path)


def test_no_job_starts_after_the_time(runs, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(runs, "work", lambda job, outputs: started.append(job))
    jobs = [runs.Job("full", None, seed, (), ()) for seed in range(2)]
    runs.run_jobs(jobs, tmp_path, 1, 1)
    runs.run_jobs(jobs, tmp_path, 0, 1)
    assert started == jobs


def test_difference_is_that_of_common_seeds_and_videos(tables):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.8, 20)
    alone = [row for seed in range(3) for row in rows_of("key_frames_only", 3, seed, base)]
    spot = [row for seed in (1, 2) for row in rows_of("spot", 3, seed, base + 0.1 + 0.02 * seed)]
    spot += rows_of("spot", 3, 7, base + 9)  # no other setting has this seed
    full = [row for seed in range(3) for row in rows_of("full", None, seed, base + 0.26)]
    rows = [*full, *alone, *spot]
    found = tables.difference(rows, ("spot", 3), ("key_frames_only", 3))
    assert found.difference == pytest.approx(0.13)
    assert (found.videos, found.better) == (20, 20)
    assert tables.points(found) == "+13.0 (+13.0 to +13.0)"
    assert tables.closed(rows, "spot", 3) == pytest.approx(0.5)
    assert tables.closed([*alone, *spot, *rows_of("full", None, 1, base)], "spot", 3) is None  # no gap
    assert tables.difference(rows, ("spot", 5), ("key_frames_only", 5)) is None
    text = tables.table(rows)
    assert f"| all labels | all | 3 | {100 * (base.mean() + 0.26):.1f} |  |  |" in text
    assert "| +13.0 (+13.0 to +13.0) | 50 % |" in text


def test_rows_are_read_as_written_and_pages_without_marks_left_alone(tables, tmp_path):
    rows = rows_of("spot", 3, 0, [0.5, 0.25])
    tables.write_rows(rows, tmp_path / "new" / "rows.json")
    assert tables.read_rows(tmp_path / "new" / "rows.json") == rows
    page = tmp_path / "README.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match=r"README\.md has no <!-- study -->"):
        tables.write_between_marks("text", page, "study")
    page.write_text("a\n<!-- study -->\nold<!-- /study -->\nb")
    tables.write_between_marks("new\n", page, "study")
    assert page.read_text() == "a\n<!-- study -->\nnew\n<!-- /study -->\nb"


def test_readme_and_page_say_what_the_rows_of_the_synthetic_study_say(tables):
    import synthetic

    rows, runs = (tables.read_rows(file) for file in (synthetic.ROWS, synthetic.RUNS))
    assert {"setting", "k", "seed", "video", "score", "commit", "config"} == set(rows[0])
    planned = {(job.setting, job.k, job.seed) for job in synthetic.jobs([0, 1, 2], synthetic.OPTIONS)}
    assert {(row["setting"], row["k"], row["seed"]) for row in runs} <= planned
    assert len(rows) == len(runs) * synthetic.TEST_VIDEOS
    assert synthetic.summary(rows) in (ROOT / "README.md").read_text()
    assert tables.table(rows) + tables.without(rows) in (ROOT / "docs" / "study.md").read_text()


def test_runs_that_start_together_compose_their_settings_in_turn(runs, tmp_path):
    job = runs.Job("full", None, 0, ("experiment=study",), ())
    with ThreadPoolExecutor(4) as pool:
        hashes = set(pool.map(lambda _: runs.config_hash(job, tmp_path), range(8)))
    assert len(hashes) == 1
