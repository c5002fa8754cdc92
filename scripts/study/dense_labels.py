"""Dense boxes from k labels a video on real data: how good they are, and how honest their scores.

    python scripts/study/dense_labels.py --split val --k 3 --seeds 0            # baselines, and the joined boxes
    python scripts/study/dense_labels.py --split test --run outputs/mine        # and those of a run of your own
    python scripts/study/dense_labels.py --report

All videos of a split of `$SPOT_SHARED/data/real` count as a user's own: only the boxes of the k key frames are given
(windows rule). A row of `outputs/dense_labels/rows.csv` is the mean IoU of one video over its unlabelled visible frames:
`setting,k,seed,video,score,commit`. Rows that are there are not computed again.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track as progress

from spot.annotation.calibration import fit_calibration
from spot.annotation.candidates import Candidates, empty_candidates, fill_candidates, held_out
from spot.annotation.dense import Relay, TargetCandidates, dense_boxes
from spot.annotation.joining import box_iou, join, place_between_labels
from spot.annotation.passes import Pass, Tracked, plan_passes
from spot.annotation.project import relay_labels
from spot.annotation.suggestion import suggest_frames
from spot.data.box_table import BoxTable
from spot.data.datasets import folder
from spot.data.key_frames import sample_key_frames
from spot.data.video import Video, VideoSet

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SPOT_SHARED", ROOT.parent / "shared"))
OUTPUTS = Path(os.environ.get("SPOT_OUTPUTS", "outputs")) / "dense_labels"
COLUMNS = ("setting", "k", "seed", "video", "score", "commit")
BINS = 10

TrackPass = Callable[[Pass], Tracked]
TrackPasses = Callable[[list[Pass]], list[Tracked]]
HumanBoxes = dict[str, tuple[np.ndarray, np.ndarray]]  # video -> frames (k,), boxes (k, 4) xywh, NaN where absent


@dataclass(frozen=True)
class Case:
    """One video with its labels and what was tracked from them."""

    video: Video
    candidates: Candidates
    hidden: list[tuple[Candidates, np.ndarray]]

    @property
    def judged(self) -> np.ndarray:
        """(n,) bool: unlabelled frames in which the target is seen."""
        mask = self.video.visible.copy()
        mask[self.candidates.labelled] = False
        return mask

    def ious(self, boxes: np.ndarray) -> np.ndarray:
        """(m,) IoU of boxes (n, 4) with the truth in the judged frames."""
        return box_iou(np.nan_to_num(boxes[self.judged]), self.video.boxes[self.judged].astype(np.float64))


def nanotrack(version: int) -> TrackPass | None:
    """OpenCV's NanoTrack on a pass; None where its files are not at hand."""
    nets = SHARED / "peers" / "nanotrack"
    files = [nets / f"nanotrackv{version}_nanotrack_{part}_sim.onnx" for part in ("backbone", "head")]
    if not all(file.is_file() for file in files):
        return None
    parameters = cv2.TrackerNano.Params()
    parameters.backbone, parameters.neckhead = map(str, files)

    def track(planned: Pass) -> Tracked:
        tracker = cv2.TrackerNano.create(parameters)
        tracker.init(cv2.imread(planned.frames.path(planned.start)), tuple(round(float(x)) for x in planned.box))
        boxes, scores = [], []
        for frame in planned.indices.tolist():
            found, box = tracker.update(cv2.imread(planned.frames.path(frame)))
            boxes.append(np.array(box, np.float32) if found or not boxes else boxes[-1])
            scores.append(tracker.getTrackingScore() if found else 0.0)
        return Tracked(planned, np.array(boxes, np.float32), np.clip(np.array(scores, np.float32), 0, 1))

    return track


def of_network(run: str, arch: str | None, batch: int) -> Callable[[list[Pass]], list[Tracked]]:
    """The network of a run or a checkpoint, on many passes in lock-step."""
    from spot.annotation.passes import track_passes
    from spot.tracking.loading import load_tracker

    tracker = load_tracker(run, arch).tracker
    return lambda passes: list(track_passes(tracker, passes, batch))


def drawn_labels(videos: VideoSet, k: int, seed: int) -> HumanBoxes:
    """The k key frames of each video by the windows rule."""
    drawn = sample_key_frames(videos, k, seed).targets
    return {name: (targets[0].ids, targets[0].boxes) for name, targets in drawn.items()}


def pseudo_labels(run: str, labels: HumanBoxes) -> Relay | None:
    """The pseudo labels of a run that was trained with these labels; None where it has none."""
    rows = [
        (name, 1, int(frame), box)
        for name, (ids, boxes) in labels.items()
        for frame, box in zip(ids, boxes, strict=True)
    ]
    return relay_labels(Path(run), BoxTable.from_rows(rows))


def cases(
    videos: VideoSet, labels: HumanBoxes, place: Path, track: TrackPasses, relay: Relay | None = None
) -> Iterator[Case]:
    """Track all videos from their labels, or read what was tracked before into the folder `place`."""
    place.mkdir(parents=True, exist_ok=True)
    for video in progress(list(videos), f"{place.parent.name} {place.name}", console=Console(stderr=True)):
        if video.name not in labels:
            continue
        ids, boxes = labels[video.name]
        passes = plan_passes(video.name, 1, video.frames, ids, boxes)
        file = place / f"{video.name}.npz"
        if file.is_file():
            with np.load(file) as found:
                tracked = [Tracked(p, found[f"boxes{i}"], found[f"scores{i}"]) for i, p in enumerate(passes)]
        else:
            by_pass = {id(t.of): t for t in track(passes)}
            tracked = [by_pass[id(p)] for p in passes]
            arrays = {f"boxes{i}": t.boxes for i, t in enumerate(tracked)}
            arrays |= {f"scores{i}": t.scores for i, t in enumerate(tracked)}
            np.savez(file, **arrays)
        candidates = empty_candidates(len(video), ids, boxes)
        fill_candidates(candidates, tracked)
        if relay is not None:
            frames, relays, confidences = relay(video.name, 1)
            candidates.relay[frames], candidates.relay_scores[frames] = relays, confidences
        yield Case(video, candidates, held_out(candidates, tracked))


def suggested_labels(videos: VideoSet, labels: HumanBoxes, found: list[Case], budget: int) -> HumanBoxes:
    """More labels where the product suggests them; the truth is what the user would draw, absent where it is not seen."""
    collected = [TargetCandidates(case.video.name, 1, case.candidates, case.hidden) for case in found]
    dense, _ = dense_boxes(collected)
    more = {name: dict(zip(ids.tolist(), boxes, strict=True)) for name, (ids, boxes) in labels.items()}
    for name, _, frame in suggest_frames(dense, budget):
        video = videos[name]
        more[name][frame] = video.boxes[frame] if video.visible[frame] else np.full(4, np.nan, np.float32)
    return {name: (np.array(sorted(rows)), np.stack([rows[f] for f in sorted(rows)])) for name, rows in more.items()}


def follow_suggestions(videos: VideoSet, k: int, seed: int, name: str, track: TrackPasses, rows: Rows) -> None:
    """From k labels a video on, add a label a video on average in two steps, by suggestion."""
    labels = drawn_labels(videos, k, seed)
    found = list(cases(videos, labels, OUTPUTS / "passes" / name / f"{videos.name}_k{k}_s{seed}", track))
    for step in (1, 2):
        labels = suggested_labels(videos, labels, found, round(len(labels) / 2))
        place = OUTPUTS / "passes" / name / f"{videos.name}_k{k}_s{seed}_suggested{step}"
        found = list(cases(videos, labels, place, track))
        number = sum(len(ids) for ids, _ in labels.values()) / len(labels)
        setting = f"{videos.name}/{name}/suggested from {k}, {number:.1f} boxes a video"
        for case in found:
            rows.add(setting, k, seed, case.video.name, float(case.ious(join(case.candidates).boxes).mean()))


def nearer_and_surer(candidates: Candidates) -> np.ndarray:
    """(n, 4) the direction with the higher score times nearness: the plainest way to use both."""
    gaps = place_between_labels(candidates)
    whole = np.maximum(gaps.before + gaps.after, 1)
    forward = candidates.forward_scores * np.clip(gaps.after / whole, 0.05, 1)
    backward = candidates.backward_scores * np.clip(gaps.before / whole, 0.05, 1)
    return np.where((forward >= backward)[:, None], candidates.forward, candidates.backward)


def best_of_all(case: Case) -> np.ndarray:
    """(n, 4) the best candidate of each frame, which only an oracle knows."""
    sources = np.stack(
        [case.candidates.forward, case.candidates.backward, place_between_labels(case.candidates).interpolated]
    )
    truth = case.video.boxes.astype(np.float64)
    best = box_iou(np.nan_to_num(sources), np.nan_to_num(truth)[None]).argmax(0)
    return sources[best, np.arange(len(best))]


def score_quality(found: list[Case]) -> str:
    """How honest the scores are: calibration error in ten bins, and what the lowest tenth of them catches."""
    model = fit_calibration(example for case in found for example in case.hidden)
    scores, right = [], []
    for case in found:
        joined = join(case.candidates)
        scores.append(model.probability(joined.features)[case.judged])
        right.append(case.ious(joined.boxes) >= 0.5)
    score, hit = np.concatenate(scores), np.concatenate(right)
    bins = np.minimum((score * BINS).astype(int), BINS - 1)
    gaps = [abs(score[bins == b].mean() - hit[bins == b].mean()) for b in range(BINS) if (bins == b).any()]
    weighted = sum(abs(score[bins == b].sum() - hit[bins == b].sum()) for b in range(BINS)) / len(score)
    lowest = np.argsort(score)[: len(score) // 10]
    caught = (~hit[lowest]).sum() / max(1, (~hit).sum())
    return (
        f"score: mean gap over bins {np.mean(gaps):.3f}, over frames {weighted:.3f}; the lowest 10 % hold "
        f"{caught:.0%} of the {(~hit).mean():.1%} wrong boxes; {model.examples} hidden labels, {model.right} right"
    )


class Rows:
    """The rows that are computed already."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file():
            file.write_text(",".join(COLUMNS) + "\n")
        with open(file, newline="") as text:
            self.rows = list(csv.DictReader(text))
        self.keys = {tuple(row[c] for c in COLUMNS[:4]) for row in self.rows}
        self.commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()

    def add(self, setting: str, k: int, seed: int, video: str, score: float) -> None:
        row = dict(zip(COLUMNS, (setting, str(k), str(seed), video, f"{score:.5f}", self.commit), strict=True))
        if tuple(row[c] for c in COLUMNS[:4]) in self.keys:
            return
        with open(self.file, "a", newline="") as text:
            csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
        self.rows.append(row)
        self.keys.add(tuple(row[c] for c in COLUMNS[:4]))


def report(rows: Rows) -> None:
    """Print the mean over videos of each setting, k and seed."""
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows.rows:
        groups[row["setting"], row["k"], row["seed"]].append(float(row["score"]))
    for (setting, k, seed), scores in sorted(groups.items()):
        print(f"{setting:45s} k={k} seed={seed}  {np.mean(scores):.4f}  ({len(scores)} videos)")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="val", choices=["train", "val", "test"])
    parser.add_argument("--k", type=int, nargs="+", default=[3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--run", nargs="*", default=[], help="runs' folders, checkpoints or start weights to track with"
    )
    parser.add_argument("--arch", help="their architecture, where they are not of runs")
    parser.add_argument("--batch", type=int, default=6, help="passes in lock-step")
    parser.add_argument("--no-baselines", action="store_true", help="leave NanoTrack and interpolation out")
    parser.add_argument("--suggest", action="store_true", help="label on by suggestion, instead of the baselines")
    parser.add_argument("--trackers", nargs="+", help="only those of these names")
    parser.add_argument("--again", action="store_true", help="compute the joined boxes again, with today's rule")
    parser.add_argument("--report", action="store_true", help="only print what is computed")
    options = parser.parse_args(words)
    rows = Rows(OUTPUTS / "rows.csv")
    if options.report:
        return report(rows)
    real = SHARED / "data" / "real"
    if not real.is_dir():
        sys.exit(f"no videos at {real}: set SPOT_SHARED to the folder that holds data/real")
    videos = folder.load(str(real / options.split), name=options.split)
    trackers: dict[str, Callable[[list[Pass]], list[Tracked]]] = {}
    if not options.no_baselines:
        for version in (1, 2):
            if (track := nanotrack(version)) is not None:
                trackers[f"nanotrack_v{version}"] = lambda passes, track=track: [track(each) for each in passes]
    for run in options.run:
        trackers[Path(run).stem] = of_network(run, options.arch, options.batch)
    if options.trackers:
        trackers = {name: track for name, track in trackers.items() if name in options.trackers}
    for k in options.k:
        for seed in options.seeds:
            for name, track in trackers.items():
                if options.suggest:
                    follow_suggestions(videos, k, seed, name, track, rows)
                    continue
                place = OUTPUTS / "passes" / name / f"{videos.name}_k{k}_s{seed}"
                labels = drawn_labels(videos, k, seed)
                run = next((run for run in options.run if Path(run).stem == name), "")
                found = list(cases(videos, labels, place, track, pseudo_labels(run, labels) if run else None))
                for case in found:
                    settings = {
                        "interpolation": place_between_labels(case.candidates).interpolated,
                        f"{name}/nearer_and_surer": nearer_and_surer(case.candidates),
                        f"{name}/joined": join(case.candidates).boxes,
                        f"{name}/oracle": best_of_all(case),
                    }
                    for setting, boxes in settings.items():
                        full = f"{options.split}/{setting}" + (
                            f"/{rows.commit}" if options.again and "joined" in setting else ""
                        )
                        rows.add(full, k, seed, case.video.name, float(case.ious(boxes).mean()))
                print(f"{options.split} {name} k={k} seed={seed}: {score_quality(found)}")
    report(rows)


if __name__ == "__main__":
    main()
