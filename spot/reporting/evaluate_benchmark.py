"""Evaluate trackers on a benchmark: from result folders to tables, plots and a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spot.data.video import VideoSet
from spot.evaluation.evaluation_result import CHOOSING, EvaluationResult, epoch_series
from spot.evaluation.statistics import Comparison, compare_paired
from spot.reporting.evaluate_ope import OnePassEvaluator
from spot.reporting.evaluate_vot import VotEvaluator
from spot.reporting.options import Options
from spot.reporting.tables import print_table, write_tables
from spot.results.got10k_files import frames_per_second
from spot.results.plain_files import NAME as PLAIN
from spot.results.result_folder import check_format
from spot.results.searching import check_missing, find_files, find_trackers
from spot.results.vot_files import LONG_TERM, SUPERVISED, home
from spot.runtime.errors import SpotError

LEAST_PERMUTATIONS = 10_000
Predictions = Callable[[str, str], np.ndarray]
"""Tracker and video to (n, 4) boxes."""


def evaluate(
    videos: VideoSet,
    results: str | Path,
    trackers: Sequence[str] | None = None,
    output: str | Path | None = None,
    options: Options | None = None,
    *,
    benchmark: str | None = None,
    result_format: str = PLAIN,
    quiet: bool = False,
) -> dict[str, dict[str, float]]:
    """Evaluate result files and write tables, plots and a report.

    Args:
        videos: the benchmark, with its ground truth.
        results: folder with `<BENCHMARK>/<TRACKER>/` or `<TRACKER>/`.
        trackers: names or patterns; None for all that have result files.
        output: folder for summary.json, tables, plots and report.html; None writes nothing.
        options: see `Options`.
        benchmark: name of the benchmark; the name of the videos by default.
        result_format: plain and got10k are read alike; vot and vot_lt have measures of their own.
        quiet: do not print the table.

    Returns:
        {tracker: {measure: value}}, fractions of 1.

    Raises:
        SpotError: naming the tracker, video or file at fault.
    """
    options = options or Options()
    benchmark = benchmark or videos.name
    check_format(result_format)
    found = find_trackers(results, benchmark, trackers)
    result, boxes = evaluate_trackers(videos, benchmark, found, options, result_format)
    if options.compare is not None:
        result.comparison = _compare(result, options)
    if epoch_series(result):
        result.notes.append(CHOOSING)
    written = None if output is None else _write(result, videos, boxes, Path(output), options)
    if not quiet:
        print_table(result, None if output is None else Path(output) / "table.csv")
        if written is not None:
            print(written)
    return result.summary()


def evaluate_trackers(
    videos: VideoSet, benchmark: str, folders: dict[str, Path], options: Options, result_format: str = PLAIN
) -> tuple[EvaluationResult, Predictions]:
    """Evaluate the trackers in `folders` (name to folder); return the result and what they predicted."""
    evaluator = (
        VotEvaluator(videos, benchmark, options, long_term=result_format == LONG_TERM)
        if result_format in (SUPERVISED, LONG_TERM)
        else OnePassEvaluator(videos, benchmark, options)
    )
    files, rows, notes = {}, [], []
    for name, folder in folders.items():
        files[name] = find_files(name, home(folder, result_format), videos.names, benchmark)
        check_missing(files[name], options.missing)
        misfits: dict[str, list[str]] = {}
        row = evaluator.evaluate(files[name], misfits)
        row.repetitions = max(map(len, files[name].boxes.values()))
        if speed := frames_per_second(files[name].times.values()):
            row.values["fps"] = speed
        rows.append(row)
        notes += [
            f"{name}: {len(found)} result files have {what} (the first: {found[0]})." for what, found in misfits.items()
        ]
    notes += evaluator.notes()
    result = EvaluationResult(benchmark, evaluator.protocol, evaluator.source, evaluator.measures, rows, notes=notes)
    if options.attributes:
        evaluator.add_attributes(result)
    return result, lambda tracker, video: evaluator.boxes(files[tracker], video, len(videos[video]))


def _compare(result: EvaluationResult, options: Options) -> Comparison:
    """Test two trackers on the videos that both have, by the first measure that single videos have."""
    assert options.compare is not None
    rows = {row.name: row for row in result.trackers}
    for name in options.compare:
        if name not in rows:
            raise SpotError(f"compare={name} is not among the trackers evaluated: {', '.join(rows)}")
    first, second = (rows[name] for name in options.compare)
    measure = result.video_measure or result.main
    values = [dict(zip(row.videos, row.per_video[measure.key].tolist(), strict=True)) for row in (first, second)]
    pair = np.array([[value[video] for value in values] for video in first.videos if video in values[1]]).reshape(-1, 2)
    pair = pair[np.isfinite(pair).all(axis=1)]
    if len(pair) < 2:
        raise SpotError(f"compare=[{first.name},{second.name}] needs at least two videos with results of both")
    draws = max(options.bootstrap, LEAST_PERMUTATIONS)
    return compare_paired((first.name, second.name), measure.title.lower(), pair[:, 0], pair[:, 1], draws, options.seed)


def _write(result: EvaluationResult, videos: VideoSet, boxes: Predictions, output: Path, options: Options) -> Path:
    """Write everything; return what to look at first. Drawing is imported here, so that numbers alone start quickly."""
    write_tables(result, output, options.per_video)
    plots: list[Path] = []
    if options.plots:
        from spot.reporting.plots import draw_plots

        plots = draw_plots(result, output)
    if not options.report:
        return output
    from spot.reporting.report import write_report
    from spot.reporting.strips import BOX_COLOURS, worst_strips

    colours = dict(zip((row.name for row in result.trackers), BOX_COLOURS, strict=False))
    strips = worst_strips(result, videos, boxes, colours, options.worst)
    return write_report(result, output / "report.html", plots, strips, colours if strips else {})
