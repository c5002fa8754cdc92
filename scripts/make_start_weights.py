"""Make the start weights that come with the project: train on procedural videos, write the start file.

    python scripts/make_start_weights.py                    # as shipped; the same command continues after a stop
    python scripts/make_start_weights.py --steps 20 --epochs 2 --output /tmp/try.safetensors

The file that comes with the project was made in two goes on one GPU: 10 epochs of a schedule of 16, then 10 epochs of a
schedule of 12 from there (`initial=`, arch.recipe.lr=1e-3). The command trains longer, in one go.

Other words go to spot.train, for instance `trainer.precision=bf16-mixed loader.workers=16`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

from spot.architectures.checkpoint import load_network
from spot.architectures.start_weights import start_file, write_start

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 2 * 2**20  # bytes that the wheel may carry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="the file to write; by default the one that the project ships")
    parser.add_argument("--epochs", type=int, help="instead of the experiment's")
    parser.add_argument("--steps", type=int, help="a epoch, instead of the experiment's")
    options, words = parser.parse_known_args()
    words += [f"training.{key}={value}" for key in ("epochs", "steps") if (value := getattr(options, key)) is not None]
    outputs = Path(os.environ.get("SPOT_OUTPUTS", "outputs"))
    run = next((word.removeprefix("run=") for word in words if word.startswith("run=")), "start_weights")
    subprocess.run([sys.executable, "-m", "spot.train", "experiment=start_weights", *words], check=True)

    settings = OmegaConf.load(outputs / run / "config.yaml")
    networks = [instantiate(settings.arch.network) for _ in range(2)]
    loaded = load_network(outputs / run, networks[0], arch=settings.arch.name)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    source = (
        f"{settings.data.videos} procedural videos of {settings.data.frames} frames, {loaded.epoch} epochs of "
        f"{settings.training.steps} steps, seed {settings.seed}, commit {commit.strip()}"
    )
    file = options.output or start_file(settings.arch.name)
    write_start(file, networks[0], networks[1], settings.arch.name, source)
    size = file.stat().st_size
    print(f"wrote {file}: {size / 1e6:.2f} MB; {source}")
    if size > LARGEST:
        sys.exit(f"error: {file} is larger than {LARGEST} bytes; take a smaller network")


if __name__ == "__main__":
    main()
