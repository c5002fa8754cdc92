"""Compare a teacher's predicted IoU with the true one, before and after calibration on held-back key frames.

    python scripts/study/calibration.py outputs/held_out/test/ocean_small/spot_k3_s0 [more runs]

Each key frame is hidden in turn: the teacher tracks into it from the nearest other key frame, around the coarse box that
the remaining explored frames give. Its predicted IoU and the IoU with the human box are one example (leave one out). A
monotone map (isotonic regression) and a line in logits (temperature and bias) are fitted to the examples of a run. Both
are judged on unlabelled frames, whose annotation is used for nothing else. Writes docs/study/calibration.json, its table in
docs/study.md and a reliability plot, docs/study_calibration.png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from runs import ROOT
from scipy.optimize import isotonic_regression, minimize
from study_tables import write_between_marks

from spot.data.boxes import box_iou
from spot.data.instances import DrawnFrame, UnlabelledInstances, collate
from spot.data.pairs import UnlabelledDataset
from spot.data.targets import Targets
from spot.reporting.plots import COLOURS
from spot.state.nearest_frames import nearest_key
from spot.state.sampler_state import SamplerState, TargetState
from spot.state.store import StateStore
from spot.supervision.coarse_boxes import NearestOrInterpolated
from spot.supervision.teacher import Teacher

BINS = 10
BATCH = 16


class Predictions(NamedTuple):
    """Predicted and true IoU of n boxes, (n,) float64 each."""

    predicted: np.ndarray
    true: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs with pseudo labels")
    parser.add_argument("--frames", type=int, default=5, help="unlabelled frames a video, evenly spaced")
    options = parser.parse_args()
    results, pictures = [], []
    for run in options.runs:
        teacher, data, targets, state = open_run(run)
        keys = predictions(teacher, data, targets, held_back_keys(state))
        frames = predictions(teacher, data, targets, unlabelled_frames(state, options.frames))
        known = {"held_back": keys, "recorded": targets.recorded_labels(state)}
        maps = {"none": lambda x: x, "isotonic": isotonic(keys), "temperature": temperature(keys)}
        after = {name: Predictions(fitted(frames.predicted), frames.true) for name, fitted in maps.items()}
        results.append(
            {"run": run.name, "examples": len(keys.true), "frames": len(frames.true), "true": mean(frames.true)}
            | {name: {"predicted": mean(p), "true": mean(t)} for name, (p, t) in known.items()}
            | {name: {"predicted": mean(each.predicted), "error": error(each)} for name, each in after.items()}
        )
        pictures.append((keys, after))
        print(json.dumps(results[-1]))
    (ROOT / "docs" / "study" / "calibration.json").write_text(json.dumps(results, indent=1) + "\n")
    write_between_marks(table(results), ROOT / "docs" / "study.md", "calibration")
    draw(pictures, ROOT / "docs" / "study_calibration.png")


def table(results: list[dict[str, Any]]) -> str:
    """Return means over the runs as a Markdown table."""
    frames = "unlabelled frames"
    titles = {"held_back": "hidden key frames", "recorded": "recorded labels", "none": f"{frames}, as predicted"}
    titles |= {"isotonic": f"{frames}, isotonic map", "temperature": f"{frames}, temperature and bias"}
    lines = ["| mean over runs | predicted IoU | true IoU | error |", "|---|---|---|---|"]
    for name, title in titles.items():
        said = np.mean([each[name]["predicted"] for each in results])
        true = np.mean([each[name].get("true", each["true"]) for each in results])
        errors = [each[name]["error"] for each in results if "error" in each[name]]
        lines.append(f"| {title} | {said:.3f} | {true:.3f} | {f'{np.mean(errors):.3f}' if errors else ''} |")
    return "\n".join(lines) + "\n"


def open_run(run: Path) -> tuple[Teacher, UnlabelledDataset, Targets, SamplerState]:
    """Return the teacher of a run's last epoch, what cuts its crops, and its last sampler state."""
    cfg = OmegaConf.load(run / "config.yaml")
    module = instantiate(cfg.module)(network=instantiate(cfg.arch.network))
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
    assert module.teacher is not None
    made = instantiate(cfg.datamodule).keywords
    targets = Targets(made["sets"], made["key_frames"](made["sets"]))
    store = StateStore.open(run / "sampler_state")
    data = UnlabelledDataset(targets, store, made["crops"], made["augment"], 0, explore=made["explore"])
    return module.teacher, data, targets, store.at(np.iinfo(np.int64).max)


def held_back_keys(state: SamplerState) -> list[tuple[int, DrawnFrame]]:
    """Return target and instance of each key frame, as if its box were unknown; targets of one key frame have none."""
    found = []
    for index in range(len(state)):
        target = state.target(index)
        for key in target.key_ids.tolist() if len(target.key_ids) > 1 else ():
            found.append((index, instance(without(target, key), key)))
    return found


def without(target: TargetState, frame: int) -> TargetState:
    """Return the state of a target without one of its key frames."""
    ids, keys = target.ids != frame, target.key_ids != frame
    return target._replace(
        ids=target.ids[ids], records=target.records[ids], key_ids=target.key_ids[keys], key_boxes=target.key_boxes[keys]
    )


def unlabelled_frames(state: SamplerState, number: int) -> list[tuple[int, DrawnFrame]]:
    """Return target and instance of `number` evenly spaced frames of each target, without key frames."""
    found = []
    for index in range(len(state)):
        target = state.target(index)
        frames = np.setdiff1d(np.arange(target.length), target.key_ids)
        for frame in frames[(np.arange(number) * len(frames) + len(frames) // 2) // number].tolist():
            found.append((index, instance(target, frame)))
    return found


def instance(target: TargetState, frame: int) -> DrawnFrame:
    box = NearestOrInterpolated()(target, frame)
    key, key_box = nearest_key(target, frame)
    return DrawnFrame(frame, box, key, key_box, key, key_box, False)


def predictions(
    teacher: Teacher, data: UnlabelledDataset, targets: Targets, wanted: list[tuple[int, DrawnFrame]]
) -> Predictions:
    """Label the instances; leave out those whose target is absent."""
    predicted, true = [], []
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        items = [data.instance(index, drawn, np.random.default_rng((index, drawn.frame)), 0) for index, drawn in part]
        batch = collate(UnlabelledInstances, items)
        batch = batch._replace(brightness=torch.ones_like(batch.brightness))
        labels = teacher.label(batch)
        truth = targets.annotated_boxes(np.array([index for index, _ in part]), np.array([d.frame for _, d in part]))
        seen = (truth[:, 2:] > 0).all(1)
        predicted.append(labels.confidence.numpy()[seen])
        true.append(box_iou(labels.box.numpy()[seen], truth[seen]))
    return Predictions(np.concatenate(predicted).astype(np.float64), np.concatenate(true).astype(np.float64))


def isotonic(examples: Predictions) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a map from predicted to true IoU that never falls, linear between the examples."""
    order = np.argsort(examples.predicted, kind="stable")
    fitted = isotonic_regression(examples.true[order]).x
    return lambda predicted: np.interp(predicted, examples.predicted[order], fitted)


def temperature(examples: Predictions) -> Callable[[np.ndarray], np.ndarray]:
    """Fit sigmoid(a * logit(predicted) + b), a > 0, by least cross-entropy to the true IoU."""

    def logit(values: np.ndarray) -> np.ndarray:
        values = np.clip(values, 1e-4, 1 - 1e-4)
        return np.log(values / (1 - values))

    def loss(ab: np.ndarray) -> float:
        z = np.exp(ab[0]) * logit(examples.predicted) + ab[1]
        return float((np.logaddexp(0, z) - examples.true * z).mean())

    log_a, b = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return lambda predicted: 1 / (1 + np.exp(-(np.exp(log_a) * logit(predicted) + b)))


def error(found: Predictions) -> float:
    """Return the mean distance of predicted and true IoU over ten groups of equal size, ordered by the predicted one."""
    return round(float(np.mean([abs(x - y) for x, y in groups(found)])), 4)


def groups(found: Predictions) -> list[tuple[float, float]]:
    order = np.argsort(found.predicted, kind="stable")
    return [(found.predicted[part].mean(), found.true[part].mean()) for part in np.array_split(order, BINS)]


def mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 4)


def draw(pictures: list[tuple[Predictions, dict[str, Predictions]]], path: Path) -> None:
    """Draw mean true against mean predicted IoU of ten groups, before and after, of all runs together."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axline((0.5, 0.5), slope=1, color="grey", lw=1, ls=":")
    together = {"held-back key frames": [keys for keys, _ in pictures]}
    for name in ("none", "isotonic", "temperature"):
        together[f"unlabelled frames, {name.replace('none', 'as predicted')}"] = [after[name] for _, after in pictures]
    for (name, parts), colour in zip(together.items(), (COLOURS[1], COLOURS[6], COLOURS[0], COLOURS[2]), strict=True):
        whole = Predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        axes.plot(*zip(*groups(whole), strict=True), "o-", ms=4, color=colour, label=f"{name} ({error(whole):.3f})")
    axes.set_xlabel("predicted IoU")
    axes.set_ylabel("true IoU")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
