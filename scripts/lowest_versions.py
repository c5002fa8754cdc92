"""Install the lowest versions that pyproject.toml allows, and run the smoke experiment with them.

    python scripts/lowest_versions.py                 # makes .venv-lowest
    python scripts/lowest_versions.py --print         # only prints the requirements

A lower bound that is too low shows up here as a failed installation or a failed run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest(requirements: list[str]) -> list[str]:
    """Turn lower bounds into exact versions.

    >>> lowest(["torch>=2.4", "hydra-core>=1.3,<1.4", "rich"])
    ['torch==2.4.0.*', 'hydra-core==1.3.0.*', 'rich']
    """
    return [re.sub(r">=([\d.]+)(,.*)?$", _exact, requirement) for requirement in requirements]


def _exact(bound: re.Match) -> str:
    """`>=2.4` allows 2.4.0, and of that any build or fix, such as 2.4.0.74."""
    return f"=={'.'.join([*bound[1].split('.'), '0', '0'][:3])}.*"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-lowest", help="folder of the environment")
    parser.add_argument("--print", action="store_true", help="print the requirements and stop")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = lowest(project["dependencies"])
    print("\n".join(requirements), flush=True)
    if options.print:
        return
    if not (options.venv / "bin" / "python").exists():
        venv.create(options.venv, with_pip=True)
    python = options.venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    with tempfile.TemporaryDirectory() as outputs:
        environment = {**os.environ, "SPOT_OUTPUTS": outputs, "PYTHONPATH": str(ROOT)}
        for words in (
            ["spot.train", "experiment=smoke", "run=smoke"],
            ["spot.test", "run=smoke", "benchmark.videos.videos=1"],
            ["spot.evaluate", "benchmark=synthetic", "benchmark.videos.videos=1"],
        ):
            subprocess.run([python, "-m", *words], check=True, cwd=ROOT, env=environment)
    print(f"the lowest versions work with Python {sys.version_info.major}.{sys.version_info.minor}")


if __name__ == "__main__":
    main()
