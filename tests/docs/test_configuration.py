"""conf/ reads as its own manual: every setting is explained where it is defined."""

import re

import pytest

from tests.paths import ROOT

OVERRIDING = re.compile(r"experiment/|arch/\w+_(tiny|small|384|opencv|v1|v2)\.yaml|trainer/(cpu|ddp|slurm)\.yaml|hydra")
"""Files that only override; the keys are explained in what they override, or by Hydra."""
PLUMBING = {"defaults", "_target_", "_partial_"}
DEFINING = [
    file
    for file in sorted(ROOT.glob("conf/**/*.yaml"))
    if not OVERRIDING.search(str(file)) and not file.is_relative_to(ROOT / "conf/local")
]


def settings(text: str) -> list[str]:
    """Lines that give a value, but for the list of defaults and references, whose values are explained where they stand."""
    lines = re.sub(r"^defaults:\n(?:(?:  .*)?\n)*", "", text, flags=re.MULTILINE).splitlines()
    found = [re.match(r"\s*(?:- )?([\w.]+): +(?P<value>\S.*)", line) for line in lines]
    return [m[0] for m in found if m and m[1] not in PLUMBING and not m["value"].startswith(("#", "${"))]


@pytest.mark.parametrize("file", DEFINING, ids=lambda file: str(file.relative_to(ROOT / "conf")))
def test_every_setting_has_a_comment(file):
    bare = [line.strip() for line in settings(file.read_text()) if "#" not in line]
    assert not bare


def test_a_bare_setting_is_found():
    assert settings("defaults:\n  - a: b\n\nx: 1\ny:   # section\n  z: 2   # said\n") == ["x: 1", "  z: 2   # said"]
