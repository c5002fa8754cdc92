"""Compare training from few labels with full supervision, on procedural videos: `make study-synthetic`.

    python scripts/study/synthetic.py [--minutes 60] [--jobs 2] [--seeds 0 1 2] [--report]
    python scripts/study/synthetic.py --settings no_strong_augmentation     # the method without one of its parts, k = 3

Trains `experiment=demo` from all labels, from k key frames alone and by the method, in equal steps of equally many
instances, and tracks held-out videos with each. What is finished is skipped, what is not is continued. Runs whose rows
are in docs/study/synthetic.json with the same settings are finished, wherever they were made. Then it writes
docs/study/synthetic.json (a row a run and video), docs/study/synthetic_runs.json (a row a run), the table in
docs/study.md and README.md, and the plot. No setting may be chosen by these test videos.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from runs import (
    COMPARED,
    OUTPUTS,
    PRECISION,
    ROOT,
    WITHOUT,
    Job,
    Row,
    collect,
    finished,
    last_metrics,
    missing,
    run_jobs,
    study_parser,
)
from study_tables import (
    difference,
    merged,
    per_video,
    plot,
    points,
    read_rows,
    run_of,
    seeds_of,
    table,
    without,
    write_between_marks,
    write_rows,
)

from spot.data.datasets import synthetic

STUDY = OUTPUTS / "study_synthetic"
DOCS = ROOT / "docs"
ROWS = DOCS / "study" / "synthetic.json"
RUNS = DOCS / "study" / "synthetic_runs.json"
BENCHMARK = "study"
TEST_VIDEOS, TEST_FRAMES = 600, 40
KS = (3, 2, 5)
OPTIONS = COMPARED | WITHOUT
TRAIN = (
    "experiment=demo",
    "validation=null",
    "loader.workers=0",  # a core a run
    f"trainer.precision={PRECISION}",
    "state.snapshot_every=0",
    "checkpoint.every=1000",  # the last one is always kept
)
TEST = (
    "backend=torch",
    "benchmark=synthetic",
    f"benchmark.name={BENCHMARK}",
    f"benchmark.videos.videos={TEST_VIDEOS}",
    f"benchmark.videos.frames={TEST_FRAMES}",
)


def jobs(seeds: Sequence[int], settings: Collection[str] = COMPARED) -> list[Job]:
    """All runs of some settings, those of the main claim first. A seed has its own training videos, labels and weights.

    Args:
        seeds: of all settings.
        settings: keys of `OPTIONS`; the method without a part (`runs.WITHOUT`) is run with k = 3 alone.
    """

    def of(setting: str, k: int | None, seed: int) -> Job:
        labels = () if k is None else (f"labels={k}",)
        return Job(setting, k, seed, (*TRAIN, f"data.seed={seed}", *OPTIONS[setting], *labels), TEST)

    def pair(k: int, seed: int) -> list[Job]:
        return [of("spot", k, seed), of("key_frames_only", k, seed)]

    full = [of("full", None, seed) for seed in seeds]
    claim = [job for seed, one in zip(seeds, full, strict=True) for job in (*pair(3, seed), one)]
    other_ks = [job for k in KS[1:] for seed in seeds for job in pair(k, seed)]
    parts = [of(setting, KS[0], seed) for setting in WITHOUT for seed in seeds]
    return [job for job in [*claim, *other_ks, *parts] if job.setting in settings]


def run_rows(done: Sequence[Job]) -> list[Row]:
    """Return a row a run: what it was made with, and how far and how well it labelled."""
    rows = []
    for job in done:
        made = json.loads((STUDY / job.run / "done.json").read_text())
        last = last_metrics(job, STUDY)
        told = {key: round(last[key], 4) for key in ("explored_fraction", "pseudo_label_iou") if key in last}
        rows.append({"setting": job.setting, "k": job.k, "seed": job.seed} | made | told)
    return rows


def summary(rows: Sequence[Row]) -> str:
    """What README.md says of the study: a row for each k that has runs of the method and of key frames alone."""

    def level(setting: str, k: int | None, common: list[int]) -> str:
        seeds = [seed for seed in seeds_of(rows, (setting, k)) if seed in common]
        fewer = f" (seed {', '.join(map(str, seeds))})" if seeds != common else ""
        return f"{100 * per_video(rows, (setting, k), seeds).mean():.1f}{fewer}" if seeds else ""

    lines = [
        f"| success on {videos_of(rows)} | key frames alone | SPOT | all labels | SPOT ahead (95 %) |",
        "|---|---|---|---|---|",
    ]
    for k in sorted(KS):
        gain = difference(rows, ("spot", k), ("key_frames_only", k))
        if gain is not None:
            seeds = sorted(set(seeds_of(rows, ("spot", k))) & set(seeds_of(rows, ("key_frames_only", k))))
            cells = (("key_frames_only", k), ("spot", k), ("full", None))
            levels = " | ".join(level(setting, labels, seeds) for setting, labels in cells)
            lines.append(f"| k = {k}, {len(seeds)} seed{'s' * (len(seeds) > 1)} | {levels} | {points(gain)} |")
    return "\n".join(lines) + "\n"


def videos_of(rows: Sequence[Row]) -> str:
    """Return how many videos were tracked, in words."""
    return f"{len({row['video'] for row in rows})} held-out synthetic videos"


def report(seeds: Sequence[int]) -> None:
    """Write rows, tables and plot of what is finished, here or on another machine."""
    planned = jobs(sorted({*seeds, *(row["seed"] for row in read_rows(RUNS))}), OPTIONS)
    if done := finished(planned, STUDY):
        order = [("", job.setting, job.k, job.seed) for job in planned]
        videos = synthetic.load(STUDY / "synthetic", "test", TEST_VIDEOS, TEST_FRAMES)
        for found, file in ((collect(done, videos, BENCHMARK, STUDY), ROWS), (run_rows(done), RUNS)):
            write_rows(sorted(merged(found, read_rows(file)), key=lambda row: order.index(run_of(row))), file)
    write_pages(DOCS)


def write_pages(docs: Path) -> None:
    """Write table and plot from the two JSON files."""
    rows = read_rows(ROWS)
    write_between_marks(table(rows) + without(rows), docs / "study.md", "synthetic")
    write_between_marks(summary(rows), docs.parent / "README.md", "synthetic")
    plot(rows, docs / "study_synthetic.png", videos_of(rows))
    print(table(rows) + without(rows))


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--settings", nargs="+", choices=OPTIONS, default=[*COMPARED])
    options = parser.parse_args()
    if not options.report:
        wanted = missing(jobs(options.seeds, options.settings), read_rows(RUNS), STUDY)
        run_jobs(wanted, STUDY, options.minutes, options.jobs)
    report(options.seeds)


if __name__ == "__main__":
    main()
