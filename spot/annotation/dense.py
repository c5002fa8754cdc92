"""Dense boxes: from a few labels a video to one box with a calibrated score in every frame.

The targets of all videos are tracked in common batches. The candidates of a target are written to a file as soon as it
is tracked, so an interrupted run continues with the next target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from spot.annotation.calibration import Calibration, fit_calibration
from spot.annotation.candidates import Candidates, empty_candidates, fill_candidates, held_out
from spot.annotation.joining import absent_frames, join
from spot.annotation.passes import Pass, Tracked, plan_passes
from spot.data.box_table import BoxTable
from spot.data.video import VideoSet
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

VERSION = 2  # of the files of candidates
ABSENT_BELOW = 0.15  # score under which frames next to an absent label count as absent too

TrackPasses = Callable[[Sequence[Pass]], Iterator[Tracked]]
Relay = Callable[[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TargetCandidates:
    """Candidates of one target of a video."""

    video: str
    target: int
    candidates: Candidates


def collect_candidates(
    videos: VideoSet, labels: BoxTable, track: TrackPasses, folder: Path, fingerprint: str, relay: Relay | None = None
) -> list[TargetCandidates]:
    """Track all labelled targets of all videos, or read what an earlier call found.

    Args:
        videos: the videos.
        labels: human boxes; targets without any box are left out.
        track: tracks passes, as `spot.annotation.passes.track_passes` does with a tracker.
        folder: receives a file for each target as soon as it is tracked.
        fingerprint: of the network and its settings; other ones do not use each other's files.
        relay: pseudo labels (frames, boxes, confidences) of a video's target from the training run.

    Raises:
        SpotError: a label belongs to no video, or is outside its video.
    """
    wanted: dict[tuple[str, int], BoxTable] = {}
    for video, target in labels.targets:
        if video not in videos:
            raise SpotError(f"labels for {video}: {videos.name} has no such video; correct the labels or restore it")
        rows = labels.take((labels.video == video) & (labels.target == target))
        if not rows.absent.all():
            wanted[video, target] = rows
    files = {key: folder / f"{_digest(*key, rows, fingerprint)}.npz" for key, rows in wanted.items()}
    plans = {
        key: plan_passes(*key, videos[key[0]].frames, rows.frame, rows.box)
        for key, rows in wanted.items()
        if not files[key].is_file()
    }
    missing = {key: len(passes) for key, passes in plans.items()}
    found: dict[tuple[str, int], list[Tracked]] = {key: [] for key in plans}

    def finish(key: tuple[str, int]) -> None:
        rows = wanted[key]
        candidates = empty_candidates(len(videos[key[0]]), rows.frame, rows.box)
        fill_candidates(candidates, found.pop(key))
        _save(files[key], candidates)

    for key in [key for key, count in missing.items() if not count]:
        finish(key)
    for tracked in track([each for passes in plans.values() for each in passes]):
        key = tracked.of.video, tracked.of.target
        found[key].append(tracked)
        missing[key] -= 1
        if not missing[key]:
            finish(key)
    collected = [TargetCandidates(*key, _load(file)) for key, file in files.items()]
    if relay is not None:
        for each in collected:
            frames, boxes, confidences = relay(each.video, each.target)
            each.candidates.relay[frames], each.candidates.relay_scores[frames] = boxes, confidences
    return collected


def dense_boxes(collected: Sequence[TargetCandidates]) -> tuple[BoxTable, Calibration]:
    """Join the candidates of all targets and score the boxes.

    Returns:
        A row for each frame of each target, and the model behind the scores. Human rows are as they were drawn.
    """
    if not collected:
        raise SpotError("no video has a label with a box; label some frames with python -m spot.label")
    joined = [join(each.candidates) for each in collected]
    unlabelled = [~np.isin(each.candidates.frames, each.candidates.labelled) for each in collected]
    project = np.concatenate([part.features[rows] for part, rows in zip(joined, unlabelled, strict=True)])
    calibration = fit_calibration((example for each in collected for example in held_out(each.candidates)), project)
    columns: dict[str, list] = {name: [] for name in ("video", "target", "frame", "box", "score", "is_gt")}
    for each, part, rows in zip(collected, joined, unlabelled, strict=True):
        candidates, human = each.candidates, ~rows
        score = calibration.probability(part.features)
        absent = part.absent | _next_to_absent(candidates, score, human)
        boxes = np.where((absent | ~np.isfinite(part.boxes).all(1))[:, None], np.nan, part.boxes)
        columns["video"].append(np.full(len(candidates), each.video))
        columns["target"].append(np.full(len(candidates), each.target))
        columns["frame"].append(candidates.frames)
        columns["box"].append(boxes)
        columns["score"].append(np.where(human, 1.0, np.where(absent, 1 - score, score)))
        columns["is_gt"].append(human)
    joined_columns = {name: np.concatenate(parts) for name, parts in columns.items()}
    return BoxTable.build(**joined_columns), calibration


def _next_to_absent(candidates: Candidates, score: np.ndarray, human: np.ndarray) -> np.ndarray:
    """Return (m,) bool: unlabelled frames with low scores, in one piece with a frame that is labelled absent."""
    sure = absent_frames(candidates)
    low = (score < ABSENT_BELOW) & ~human
    if not sure.any() or not low.any():
        return np.zeros(len(score), bool)
    either = low | sure
    piece = np.cumsum(np.concatenate([[True], either[1:] != either[:-1]]))
    return low & np.isin(piece, piece[sure])


def _digest(video: str, target: int, rows: BoxTable, fingerprint: str) -> str:
    """Return the name of a target's file: changes with the labels and with the network."""
    content = repr((VERSION, video, target, rows.frame.tolist(), rows.box.round(4).tolist(), fingerprint))
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def _save(file: Path, candidates: Candidates) -> None:
    with replacing(file) as aside, open(aside, "wb") as opened:
        np.savez_compressed(opened, **vars(candidates))


def _load(file: Path) -> Candidates:
    try:
        with np.load(file) as content:
            arrays = {field.name: content[field.name] for field in fields(Candidates)}
    except (OSError, ValueError, KeyError) as error:
        raise SpotError(f"{file}: damaged ({error}); delete it and start again") from None
    return Candidates(**arrays | {"first": int(arrays["first"])})
