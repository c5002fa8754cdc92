"""Draw docs/method.svg: one video on its way from key frames to explored frames, and one step of the sparse stage."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

KEY, RELAY, DRAWN, INK, PALE = "#b5442e", "#2f7f79", "#d9a441", "#222222", "#f4f1ea"


def frames(axes, y, states):
    """A row of frames; states: k key, r relay, u drawn, . unexplored."""
    colours = {"k": KEY, "r": RELAY, "u": DRAWN, ".": "white"}
    for i, state in enumerate(states):
        axes.add_patch(Rectangle((2 + i * 3.4, y), 2.9, 4.4, facecolor=colours[state], edgecolor=INK, linewidth=0.6))


def box(axes, x, y, width, height, text, colour=PALE, ink=INK):
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.3", facecolor=colour, edgecolor=INK, linewidth=0.8)
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=6.6, color=ink)


def arrow(axes, start, end, text="", bend=0.0, style="-", at=None, colour=INK):
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=9,
            linestyle=style,
            linewidth=0.9,
            color=colour,
            shrinkA=1,
            shrinkB=1,
        )
    )
    if text:
        x, y = at or ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 1)
        axes.text(x, y, text, ha="center", va="bottom", fontsize=6.8, color=colour)


def draw_video(axes):
    """One video at three times."""
    rows = (
        ("after burn-in", "....k............k............k..."),
        ("some epochs on", "..rrkrr........rrkr..........rkrr."),
        ("later", ".rrrkrrrrru..rrrrkrrrrrr..rrrrkrrr"),
    )
    for i, (title, states) in enumerate(rows):
        y = 66 - i * 9
        frames(axes, y, states)
        axes.text(120, y + 2.2, title, va="center", fontsize=7.5)
    for x, colour, text in (
        (2, KEY, "key frame: a human box"),
        (38, RELAY, "relay frame: a teacher's box, with its confidence"),
        (96, DRAWN, "u, drawn now"),
    ):
        axes.add_patch(Rectangle((x, 74), 2.4, 2.4, facecolor=colour, edgecolor=INK, linewidth=0.6))
        axes.text(x + 3.4, 75.1, text, va="center", fontsize=7)


def draw_step(axes):
    """What happens to one drawn frame u."""
    box(axes, 0, 28, 31, 6, "key crop of the nearest\nkey frame: template", KEY, "white")
    box(axes, 0, 19, 31, 6, "centred crop of u around\nthe coarse box: search", DRAWN)
    box(axes, 0, 9, 31, 6, "another crop of u: shifted,\nscaled, turned: search", DRAWN)
    box(axes, 0, 0, 31, 6, "crop of a relay frame v:\ntemplate", RELAY, "white")
    box(axes, 47, 23, 20, 7, "teacher")
    box(axes, 47, 4, 20, 7, "student")
    box(axes, 86, 23, 25, 7, "box, predicted IoU:\nkept if IoU ≥ τ")
    box(axes, 86, 4, 25, 7, "loss on kept boxes\n+ loss on key pairs")
    box(axes, 123, 20, 23, 13, "sampler state:\nexplored frames,\nboxes, confidences")
    for x, y, target in ((31.5, 31, 28), (31.5, 22, 25), (31.5, 12, 9), (31.5, 3, 6)):
        arrow(axes, (x, y), (46.5, target))
    arrow(axes, (67.5, 26.5), (85.5, 26.5), "best cell under\na centred window", at=(76.5, 27))
    arrow(axes, (98.5, 22.5), (98.5, 11.5), "target, mapped\ninto that crop", at=(107.5, 14.8))
    arrow(axes, (67.5, 8.5), (85.5, 8.5))
    arrow(axes, (85.5, 6), (67.5, 6), "gradient", style="--", at=(76.5, 2.4))
    arrow(axes, (57, 11.5), (57, 22.5), "every 5 steps: 0.998 old\n+ 0.002 student", at=(71, 15))
    arrow(axes, (111.5, 26.5), (122.5, 26.5), "record", at=(117, 27))
    arrow(axes, (134, 33.5), (37.5, 47.2), bend=0.08, style=":")
    axes.text(80, 36.5, "draws u and v of the next steps", ha="center", fontsize=6.8)


def main():
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "spot", "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(9, 4.9))
    axes.set(xlim=(-1, 148), ylim=(-1, 78), aspect="equal")
    axes.axis("off")
    draw_video(axes)
    draw_step(axes)
    figure.savefig(Path(__file__).parents[1] / "method.svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
