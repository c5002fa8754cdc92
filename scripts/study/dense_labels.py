"""Measure dense boxes from k labels a video on real data: their quality and the calibration of their scores.

    python scripts/study/dense_labels.py --split val --k 3 --seeds 0               # baselines, and the joined boxes
    python scripts/study/dense_labels.py --split test --k 3 5 --adapt nano.pt      # train experiment=nano_adapt too
    python scripts/study/dense_labels.py --split test --k 3 5 --adapt nano.pt --mirror     # as spot.annotate mirror=true
    python scripts/study/dense_labels.py --split test --run outputs/mine --arch nanotrack_v2
    python scripts/study/dense_labels.py --report

All videos of a split of `$SPOT_SHARED/data/real` count as a user's own: only the boxes of the k key frames are given
(windows rule). A row of `docs/study/dense_labels.json` is the mean IoU of one video over its unlabelled visible frames:
`setting,k,seed,video,score,commit`. A setting is `<split>/<name>`. Tracked passes are kept in `outputs/dense_labels`.
`--report` writes the table in docs/own_videos.md and the plot. Its intervals are over videos, paired, against the best
baseline: linear interpolation, or OpenCV's NanoTrack with the nearer direction or both directions averaged.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from dense_report import print_all, report
from rich.console import Console
from rich.progress import track as progress
from study_tables import read_rows, write_rows

from spot.annotation.calibration import fit_calibration
from spot.annotation.candidates import Candidates, empty_candidates, fill_candidates, held_out
from spot.annotation.dense import Relay, TargetCandidates, dense_boxes
from spot.annotation.joining import AGREE, box_iou, join, place_between_labels
from spot.annotation.passes import Pass, Tracked, plan_passes
from spot.annotation.project import relay_labels
from spot.annotation.suggestion import suggest_frames
from spot.data.box_table import BoxTable
from spot.data.datasets import folder
from spot.data.key_frame_sampling import sample_key_frames
from spot.data.key_frames import KeyFrames, LabelledTarget, settings_of
from spot.data.video import Video, VideoSet

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SPOT_SHARED", ROOT.parent / "shared"))
OUTPUTS = Path(os.environ.get("SPOT_OUTPUTS", "outputs")) / "dense_labels"
ROWS = ROOT / "docs" / "study" / "dense_labels.json"
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

    @property
    def judged(self) -> np.ndarray:
        """(n,) bool: unlabelled frames in which the target is seen."""
        mask = self.video.visible.copy()
        mask[self.candidates.labelled] = False
        return mask

    def ious(self, boxes: np.ndarray) -> np.ndarray:
        """Return (m,) IoU of boxes (n, 4) with the truth in the judged frames."""
        return box_iou(np.nan_to_num(boxes[self.judged]), self.video.boxes[self.judged].astype(np.float64))


def nanotrack(version: int) -> TrackPass | None:
    """Return OpenCV's NanoTrack for a pass; None if its files are missing."""
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


def of_network(run: str, options: argparse.Namespace) -> TrackPasses:
    """The network of a run or a checkpoint, on many passes in lock-step."""
    from spot.annotation.mirrored import track_with_mirror
    from spot.annotation.passes import track_passes
    from spot.tracking.loading import load_tracker

    tracker = load_tracker(run, options.arch, backend=options.backend).tracker
    follow = track_with_mirror if options.mirror else track_passes
    return lambda passes: list(follow(tracker, passes, options.batch))


def drawn_labels(videos: VideoSet, k: int, seed: int) -> HumanBoxes:
    """Return the k key frames of each video by the windows rule."""
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
        yield Case(video, candidates)


def suggested_labels(videos: VideoSet, labels: HumanBoxes, found: list[Case], budget: int) -> HumanBoxes:
    """More labels where the product suggests them; the truth is what the user would draw, absent where it is not seen."""
    collected = [TargetCandidates(case.video.name, 1, case.candidates) for case in found]
    dense, _ = dense_boxes(collected)
    more = {name: dict(zip(ids.tolist(), boxes, strict=True)) for name, (ids, boxes) in labels.items()}
    for name, _, frame in suggest_frames(dense, budget):
        video = videos[name]
        more[name][frame] = video.boxes[frame] if video.visible[frame] else np.full(4, np.nan, np.float32)
    return {name: (np.array(sorted(rows)), np.stack([rows[f] for f in sorted(rows)])) for name, rows in more.items()}


class Adaptation:
    """Training of experiment=nano_adapt on a split's labelled boxes; a finished run is not made again.

    Args:
        videos: the split.
        k, seed: of the draw of the labels.
        more: further options of spot.train.
    """

    def __init__(self, videos: VideoSet, k: int, seed: int, more: list[str]) -> None:
        self.videos, self.k, self.outputs = videos, k, OUTPUTS / "training"
        self.name = f"nano_adapt_{videos.name}_k{k}_s{seed}"
        self.options = [f"paths.folder={SHARED / 'data' / 'real'}", f"data.split={videos.name}", f"labels={k}"]
        self.options += [f"seed={seed}", f"paths.outputs={self.outputs}", *more]

    def first(self, initial: str) -> str:
        """Train on the drawn labels from given weights; return the run's folder."""
        return self._train(self.name, initial)

    def again(self, labels: HumanBoxes, step: int) -> str:
        """Train on more labels from the network of the step before, as a run of spot.train does in a new round."""
        seen = {name: (ids, boxes, np.isfinite(boxes).all(1)) for name, (ids, boxes) in labels.items()}
        targets = {name: (LabelledTarget(ids[rows], boxes[rows]),) for name, (ids, boxes, rows) in seen.items()}
        file = self.outputs / f"{self.name}_suggested{step}.json"
        KeyFrames(settings_of(self.videos, self.k), [], targets).write(file)
        before = self.name if step == 1 else f"{self.name}_suggested{step - 1}"
        return self._train(file.stem, str(self.outputs / before), f"data.key_frames=[{file}]")

    def _train(self, run: str, initial: str, *more: str) -> str:
        words = ["experiment=nano_adapt", "data=folder", *self.options, f"run={run}", f"initial={initial}", *more]
        subprocess.run([sys.executable, "-m", "spot.train", *words], cwd=ROOT, check=True)
        return str(self.outputs / run)


def track_again(adaptation: Adaptation, options: argparse.Namespace, labels: HumanBoxes, step: int) -> TrackPasses:
    """Train on the labels of a step of suggestions; return the new tracker."""
    return of_network(adaptation.again(labels, step), options)


def follow_suggestions(
    videos: VideoSet,
    k: int,
    seed: int,
    name: str,
    track: TrackPasses,
    rows: Rows,
    retrained: Callable[[HumanBoxes, int], TrackPasses] | None,
) -> None:
    """From k labels a video on, add a label a video on average in two steps, by suggestion.

    After each step the tracker is trained again, as a user does (`retrained`, None: it stays as it is).
    """
    labels = drawn_labels(videos, k, seed)
    found = list(cases(videos, labels, OUTPUTS / "passes" / name / f"{videos.name}_k{k}_s{seed}", track))
    for step in (1, 2):
        labels = suggested_labels(videos, labels, found, round(len(labels) / 2))
        track = retrained(labels, step) if retrained else track
        place = OUTPUTS / "passes" / name / f"{videos.name}_k{k}_s{seed}_suggested{step}"
        found = list(cases(videos, labels, place, track))
        number = sum(len(ids) for ids, _ in labels.values()) / len(labels)
        setting = f"{videos.name}/{name}/suggested from {k}, {number:.1f} boxes a video"
        for case in found:
            rows.add(setting, k, seed, case.video.name, float(case.ious(join(case.candidates).boxes).mean()))


def direction_weights(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """(n,) of the forward and the backward box: the tracker's score times the nearness of its label."""
    gaps = place_between_labels(candidates)
    whole = np.maximum(gaps.before + gaps.after, 1)
    forward = candidates.forward_scores * np.clip(gaps.after / whole, 0.05, 1)
    return forward, candidates.backward_scores * np.clip(gaps.before / whole, 0.05, 1)


def nearer_and_surer(candidates: Candidates) -> np.ndarray:
    """(n, 4) the direction with the higher weight: the plainest way to use both."""
    forward, backward = direction_weights(candidates)
    return np.where((forward >= backward)[:, None], candidates.forward, candidates.backward)


def averaged(candidates: Candidates) -> np.ndarray:
    """(n, 4) agreeing directions averaged by their weights, with half of the interpolated size."""
    forward, backward = (weight[:, None] for weight in direction_weights(candidates))
    agree = box_iou(np.nan_to_num(candidates.forward), np.nan_to_num(candidates.backward)) >= AGREE
    mean = (forward * candidates.forward + backward * candidates.backward) / np.maximum(forward + backward, 1e-9)
    boxes = np.where(agree[:, None], mean, nearer_and_surer(candidates)).astype(np.float64)
    size = np.sqrt(np.maximum(boxes[:, 2:], 1e-3) * place_between_labels(candidates).interpolated[:, 2:])
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2 - size / 2, size], axis=1)


def one_direction(candidates: Candidates) -> np.ndarray:
    """(n, 4) the joined boxes without the backward passes, but before the first label."""
    known = np.isfinite(candidates.forward).all(1, keepdims=True)
    return join(replace(candidates, backward=np.where(known, np.nan, candidates.backward))).boxes


def best_of_all(case: Case) -> np.ndarray:
    """Return (n, 4) the best candidate of each frame, which only an oracle knows."""
    sources = np.stack(
        [case.candidates.forward, case.candidates.backward, place_between_labels(case.candidates).interpolated]
    )
    truth = case.video.boxes.astype(np.float64)
    best = box_iou(np.nan_to_num(sources), np.nan_to_num(truth)[None]).argmax(0)
    return sources[best, np.arange(len(best))]


def score_quality(found: list[Case]) -> str:
    """How honest the scores are: calibration error in ten bins, and what the lowest tenth of them catches."""
    joined = [join(case.candidates) for case in found]
    unlabelled = [~np.isin(case.candidates.frames, case.candidates.labelled) for case in found]
    project = np.concatenate([each.features[rows] for each, rows in zip(joined, unlabelled, strict=True)])
    model = fit_calibration((example for case in found for example in held_out(case.candidates)), project)
    scores = [model.probability(each.features)[case.judged] for case, each in zip(found, joined, strict=True)]
    right = [case.ious(each.boxes) >= 0.5 for case, each in zip(found, joined, strict=True)]
    score, hit = np.concatenate(scores), np.concatenate(right)
    order = np.argsort(score, kind="stable")
    equal = [abs(score[part].mean() - hit[part].mean()) for part in np.array_split(order, BINS)]
    bins = np.minimum((score * BINS).astype(int), BINS - 1)
    used = [bins == b for b in range(BINS) if (bins == b).any()]
    wide = [abs(score[rows].mean() - hit[rows].mean()) for rows in used]
    weighted = np.average(wide, weights=[rows.sum() for rows in used])
    caught = (~hit[order[: len(score) // 10]]).sum() / max(1, (~hit).sum())
    return (
        f"score: mean gap {np.mean(equal):.3f} over ten bins of equal count, {np.mean(wide):.3f} of equal width, "
        f"{weighted:.3f} weighted by their frames; the lowest 10 % hold {caught:.1%} of the {(~hit).sum()} wrong boxes "
        f"({(~hit).mean():.1%}); {model.examples} hidden labels, {model.right} right"
    )


class Rows:
    """The rows that are computed already; computed again, a row takes the place of the earlier one."""

    def __init__(self, file: Path) -> None:
        self.file = file
        rows = read_rows(file) if file.is_file() else []
        self.rows = {tuple(row[c] for c in COLUMNS[:4]): row for row in rows}
        self.commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()

    def add(self, setting: str, k: int, seed: int, video: str, score: float) -> None:
        values = (setting, k, seed, video, round(score, 5), self.commit)
        self.rows[values[:4]] = dict(zip(COLUMNS, values, strict=True))

    def save(self) -> None:
        """Write the file: a row a line, sorted."""
        write_rows([self.rows[key] for key in sorted(self.rows)], self.file)


def measure(videos: VideoSet, k: int, seed: int, name: str, track: TrackPasses, run: str | None, rows: Rows) -> None:
    """Track all videos, and note the score of each way to use what was tracked."""
    place = OUTPUTS / "passes" / name / f"{videos.name}_k{k}_s{seed}"
    labels = drawn_labels(videos, k, seed)
    found = list(cases(videos, labels, place, track, pseudo_labels(run, labels) if run else None))
    for case in found:
        settings = {
            "interpolation": place_between_labels(case.candidates).interpolated,
            f"{name}_nearer": nearer_and_surer(case.candidates),
            f"{name}_averaged": averaged(case.candidates),
            (name if run else f"{name}_joined"): join(case.candidates).boxes,
            f"{name}_one_direction": one_direction(case.candidates),
            f"{name}_oracle": best_of_all(case),
        }
        for setting, boxes in settings.items():
            rows.add(f"{videos.name}/{setting}", k, seed, case.video.name, float(case.ious(boxes).mean()))
    print(f"{videos.name} {name} k={k} seed={seed}: {score_quality(found)}")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="val", choices=["train", "val", "test"])
    parser.add_argument("--k", type=int, nargs="+", default=[3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--run", nargs="*", default=[], help="runs' folders, checkpoints or start weights to track with"
    )
    parser.add_argument("--name", help="of the run in the rows; else that of its folder or file")
    parser.add_argument("--arch", help="their architecture, where they are not of runs")
    parser.add_argument(
        "--adapt", metavar="WEIGHTS", help="train experiment=nano_adapt from these weights, and measure it"
    )
    parser.add_argument("--train", nargs="*", default=[], help="further options of spot.train for --adapt")
    parser.add_argument("--backend", default="torch", help="torch or openvino, of the networks")
    parser.add_argument("--batch", type=int, default=6, help="passes in lock-step")
    parser.add_argument("--mirror", action="store_true", help="networks track the mirrored videos too")
    parser.add_argument("--no-baselines", action="store_true", help="leave NanoTrack and interpolation out")
    parser.add_argument("--suggest", action="store_true", help="label on by suggestion, instead of the baselines")
    parser.add_argument("--trackers", nargs="+", help="only those of these names")
    parser.add_argument("--report", action="store_true", help="only write table and plot of what is computed")
    options = parser.parse_args(words)
    rows = Rows(ROWS)
    if options.report:
        return report([*rows.rows.values()], ROOT / "docs")
    real = SHARED / "data" / "real"
    if not real.is_dir():
        sys.exit(f"no videos at {real}: set SPOT_SHARED to the folder that holds data/real")
    videos = folder.load(str(real / options.split), name=options.split)
    trackers: dict[str, TrackPasses] = {}
    if not options.no_baselines:
        for version in (1, 2):
            if (track := nanotrack(version)) is not None:
                trackers[f"nanotrack_v{version}"] = lambda passes, track=track: [track(each) for each in passes]
    runs = {options.name or Path(run).stem: run for run in options.run}
    for name, run in runs.items():
        trackers[name] = of_network(run, options)
    if options.trackers:
        trackers = {name: track for name, track in trackers.items() if name in options.trackers}
    adapted = "nano_adapt_mirrored" if options.mirror else "nano_adapt"
    for k in options.k:
        for seed in options.seeds:
            retrained = None
            if options.adapt:
                adaptation = Adaptation(videos, k, seed, options.train)
                retrained = partial(track_again, adaptation, options)
                runs[adapted] = adaptation.first(options.adapt)
                trackers[adapted] = of_network(runs[adapted], options)
            for name, track in trackers.items():
                if options.suggest:
                    follow_suggestions(videos, k, seed, name, track, rows, retrained if name == adapted else None)
                else:
                    measure(videos, k, seed, name, track, runs.get(name), rows)
                rows.save()
    print_all([*rows.rows.values()])


if __name__ == "__main__":
    main()
