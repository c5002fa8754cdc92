"""What packaging and citation say agrees with itself."""

import re
import tomllib

import yaml

from spot.runtime.extras import PACKAGES
from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_everywhere():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    import spot

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert versions[0] == PROJECT["version"] == spot.__version__ == str(citation["version"])


def test_citation_names_the_paper_of_the_readme_and_our_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == PROJECT["license"]
    assert f"https://doi.org/{citation['preferred-citation']['doi']}" in (ROOT / "README.md").read_text()


def test_every_extra_that_is_named_exists():
    """`pip install -e ".[extra]"` in docs, settings and messages; the package is on no index, so its name is no remedy."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("conf/**/*.yaml"), *ROOT.glob("spot/**/*.py")]
    texts = [file.read_text() for file in files]
    named = {name for text in texts for names in re.findall(r"\.\[([\w,]+)\]", text) for name in names.split(",")}
    assert named | set(PACKAGES) <= set(PROJECT["optional-dependencies"])
    assert not [file for file, text in zip(files, texts, strict=True) if "spot-tracking[" in text]


def test_a_message_names_packages_of_its_extra():
    for extra, packages in PACKAGES.items():
        assert all(
            any(line.startswith(package) for line in PROJECT["optional-dependencies"][extra]) for package in packages
        )


def test_hooks_run_what_make_check_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        words = [word for word in hook["entry"].split() if not word.startswith("-")]
        assert re.search(rf"\$\(BIN\)/{words[0]}\b.*{' '.join(words[1:])}", makefile)
