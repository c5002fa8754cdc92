"""Draw docs/few_boxes.jpg: three boxes of a human, and the boxes that spot.annotate makes for all other frames.

python docs/figures/few_boxes.py

The video is a procedural one of the project, and so are the tracker's start weights.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

import spot
from spot.data.boxes import box_iou
from spot.data.datasets import synthetic
from spot.data.images import read_frame

HUMAN, DENSE, INK = "#d55e00", "#0072b2", "#222222"
LABELLED = (10, 50, 90)
SHOWN = tuple(range(0, 100, 10))


def annotate(folder, video):
    """Dense boxes (n, 4), scores (n,) and which of them are a human's (n,), by the real command."""
    clips = folder / "clips" / "video"
    clips.mkdir(parents=True)
    for i in range(len(video)):
        Image.fromarray(read_frame(video.frames.path(i)).pixels).save(clips / f"{i:06d}.png")
    labels = folder / "outputs" / "labels" / "clips.csv"
    labels.parent.mkdir(parents=True)
    with open(labels, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "target", "frame", "x", "y", "w", "h", "absent"])
        for i in LABELLED:
            writer.writerow(["video", 1, i, *(round(float(v), 1) for v in video.boxes[i]), 0])
    written = spot.annotate(
        "data=videos",
        f"paths.videos={clips.parent}",
        f"paths.outputs={folder / 'outputs'}",
        initial="default",
        review=False,
        overlay=False,
    )
    with open(written, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [[float(row[key] or "nan") for key in ("x", "y", "w", "h")] for row in rows]
    return np.array(columns), np.array([float(row["score"]) for row in rows]), [row["is_gt"] == "1" for row in rows]


def draw(video, boxes, scores, human, file):
    figure = plt.figure(figsize=(10, 2.25), dpi=150)
    grid = figure.add_gridspec(3, len(SHOWN), height_ratios=(1, 1, 0.5), hspace=0.05, wspace=0.04)
    for column, frame in enumerate(SHOWN):
        pixels = read_frame(video.frames.path(frame)).pixels
        for row in (0, 1):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(pixels)
            axes.set_xticks([])
            axes.set_yticks([])
            if human[frame] or row == 1:
                colour = HUMAN if human[frame] else DENSE
                x, y, w, h = boxes[frame]
                axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor="white", linewidth=2.6))
                axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colour, linewidth=1.5))
            if column == 0:
                axes.set_ylabel(("you label", "you get")[row], fontsize=8, color=INK)
            if row == 0:
                axes.set_title(f"frame {frame}", fontsize=7, color=INK, pad=2)
    axes = figure.add_subplot(grid[2, :])
    axes.plot(scores, color=DENSE, linewidth=1.2)
    where = [i for i, is_human in enumerate(human) if is_human]
    axes.plot(where, scores[where], "o", color=HUMAN, markersize=5)
    axes.set_xlim(-5, len(scores) - 5)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("score", fontsize=8)
    axes.tick_params(labelsize=6)
    figure.savefig(file, bbox_inches="tight", pad_inches=0.04, pil_kwargs={"quality": 88})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=int, default=8, help="which of the procedural videos")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "few_boxes.jpg")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = synthetic.load(
            f"{folder}/rendered", "val", videos=options.video + 1, frames=100, size=(320, 240), seed=3
        )
        video = videos[options.video]
        boxes, scores, human = annotate(Path(folder), video)
        rest = ~np.array(human) & np.asarray(video.visible)
        print(f"mean IoU of the other boxes: {box_iou(boxes, video.boxes.astype(float))[rest].mean():.2f}")
        draw(video, boxes, scores, human, options.output)


if __name__ == "__main__":
    main()
