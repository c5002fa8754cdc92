"""Rounds of a run: if the user has drawn or changed labels since it was trained, the run begins a new round.

A new round trains for the same number of epochs. It starts from the network of the previous round. Its sampler state
has the new key frames and the frames that the previous round had explored. `<run>/rounds/001/` keeps the first round:
checkpoints, sampler state, metrics and configuration. `<run>/round.json` has the number of the present round. A run
without pseudo labels has no sampler state: there, `round.json` has the fingerprint of the labels too.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from spot.architectures.checkpoint import find_checkpoint
from spot.data.targets import Targets
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError
from spot.runtime.ranks import is_first_process
from spot.state.merge import PseudoLabels
from spot.state.sampler_state import SamplerState
from spot.state.store import StateStore
from spot.training.data_module import TrackingData
from spot.training.run import Run

RECORD = "round.json"
STATE = "sampler_state"
MOVED = ("checkpoints", STATE, "metrics.csv", "exploration.png", "exploration.pdf")


def labels_may_grow(cfg: DictConfig) -> bool:
    """Return whether the run trains on labels that its user draws (data=videos)."""
    return any(node.get("labels") is not None for node in cfg.data.train)


def current_round(cfg: DictConfig, run: Run, data: TrackingData) -> Run:
    """Return the run, or its next round if its labels have changed; `data` then makes a new sampler state."""
    if labels_may_grow(cfg) and is_first_process():
        run = next_round(run, data.targets, data.pseudo_labels)
        data.fresh = run.resume_from is None
    return run


def next_round(run: Run, targets: Targets, has_state: bool = True) -> Run:
    """Begin a new round if the labels have changed since the run was trained. Called by the first process only.

    Args:
        run: the run on disk.
        targets: targets with the present labels.
        has_state: the run keeps a sampler state (`supervision.pseudo_labels`).

    Returns:
        The same run, or the new round, which has no checkpoint yet.
    """
    record = _read(run.folder)
    if record.get("moving"):  # a start before this one was stopped while it moved files
        _begin(run.folder, record["number"], targets)
        return replace(run, resume_from=None)
    today = StateStore.fingerprint(*targets.state_arguments())
    if run.resume_from is None and not has_state:
        _write(run.folder, {"number": 1, **record, "labels": today})
    if run.resume_from is None or (has_state and not StateStore.exists(run.folder / STATE)):
        return run
    known = StateStore.open(run.folder / STATE).fingerprint_of_targets if has_state else record.get("labels", today)
    if known == today:
        return run
    number = record.get("number", 1)
    _begin(run.folder, number, targets)
    print(
        f"run {run.folder.name}: the labels have changed; round {number + 1} starts from the network of round {number}"
    )
    return replace(run, resume_from=None)


def start_of_round(folder: Path) -> Path | None:
    """Return the checkpoint that the run's round starts from; None in the first round."""
    record = _read(folder)
    return find_checkpoint(_place(folder, record["number"] - 1)) if record.get("number", 1) > 1 else None


def _begin(folder: Path, number: int, targets: Targets) -> None:
    """Move round `number` aside and make the state of the next one. A second call completes an interrupted one."""
    place = _place(folder, number)
    _write(folder, {"number": number, "moving": True})
    place.mkdir(parents=True, exist_ok=True)
    for name in MOVED:
        here, there = folder / name, place / name
        if here.exists() and not there.exists():
            here.rename(there)
    if (folder / "config.yaml").is_file():
        shutil.copyfile(folder / "config.yaml", place / "config.yaml")
    shutil.rmtree(folder / STATE, ignore_errors=True)  # left by a call that was interrupted after this line
    record: dict = {"number": number + 1}
    if StateStore.exists(place / STATE):
        explored = _explored(StateStore.open(place / STATE).at(float("inf")), targets)
        StateStore.create(folder / STATE, *targets.state_arguments(), explored=explored)
    else:
        record["labels"] = StateStore.fingerprint(*targets.state_arguments())
    _write(folder, record)


def _explored(before: SamplerState, targets: Targets) -> PseudoLabels:
    """Return the pseudo labels of the targets that still have all their key frames, with today's target numbers."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))]
    for index, (video, _) in enumerate(targets.names):
        ids, boxes = targets.keys(index)
        old = before.find_target(video, dict(zip(ids.tolist(), boxes, strict=True)))
        if old is not None:
            extra = ~np.isin(old.ids, ids)
            rows = np.full(int(extra.sum()), index)
            parts.append((rows, old.ids[extra].astype(np.int64), old.boxes[extra], old.confidences[extra]))
    return PseudoLabels(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _place(folder: Path, number: int) -> Path:
    return folder / "rounds" / f"{number:03d}"


def _read(folder: Path) -> dict:
    file = folder / RECORD
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SpotError(f"{file}: cannot be read ({error}); restore it, or choose another run=") from None


def _write(folder: Path, record: dict) -> None:
    with replacing(folder / RECORD) as aside:
        aside.write_text(json.dumps(record) + "\n")
