"""The runs of the label-efficiency study, and where their files are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("SPOT_SHARED", ROOT.parent / "shared")).resolve() / "data" / "real"
OUTPUTS = ROOT / "outputs" / "study"
PRETRAINED = "pretrained"
TRACKS = OUTPUTS / "held_out"
STARTS = ("start", "middle", "end_backwards", "middle_backwards")
"""From where, and in which direction, each held-out video is tracked: one loss of the target decides less."""

ABLATIONS = {
    "no_iou_filtering": "teacher.threshold=0",
    "no_strong_augmentation": "augment.strong=false",
    "no_temporal_calibration": "teacher.window=0",
    "no_transitive_relay": "exploration.relay_template=false",
    "no_propagation": "exploration.step=0",
    "no_teacher_ema": "teacher.ema_interval=0",
}


@dataclass(frozen=True)
class Job:
    """One training run and its test.

    Attributes:
        setting: full, sparse, spot or an ablation's name.
        k: labelled frames a video; None for all.
        seed: of weights, label sampling, data order and augmentation.
        options: what it changes in the experiment.
    """

    setting: str
    k: int | None
    seed: int
    options: tuple[str, ...]

    @property
    def run(self) -> str:
        """Name of the run and of its results."""
        return f"{self.setting}{'' if self.k is None else f'_k{self.k}'}_s{self.seed}"


def jobs(seeds: list[int]) -> list[Job]:
    """All runs: those that the main claim needs first, then whole seeds."""

    def labelled(setting: str, k: int, seed: int) -> Job:
        return Job(setting, k, seed, (f"supervision={setting}", f"labels={k}"))

    full = [Job("full", None, seed, ("supervision=full",)) for seed in seeds]
    claim = [job for one in full for job in (one, labelled("sparse", 3, one.seed), labelled("spot", 3, one.seed))]
    rest = [
        job
        for seed in seeds
        for job in (
            *(labelled(each, k, seed) for k in (2, 5) for each in ("sparse", "spot")),
            *(Job(name, 3, seed, ("supervision=spot", "labels=3", option)) for name, option in ABLATIONS.items()),
        )
    ]
    return claim + rest
