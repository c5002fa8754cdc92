"""A few kills at random moments; `make stress` does hundreds."""

import json

from tests.end_to_end.runs import run_words


def test_killed_anywhere_ends_where_the_uninterrupted_run_ends(tmp_path):
    """TransT and an Ocean that thaws, through burn-in's end and snapshots, in turns at any time and while a file is written."""
    few = ("--kills", "6", "--kills-of-a-run", "3")
    done = run_words(["scripts/stress_resume.py", *few, "--json", str(tmp_path / "figures.json")], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["kills"] >= 6
    assert figures["identical"] == figures["runs"] >= 2
