"""One HTML file with everything in it: tables that sort on a click, plots, and pictures of the worst videos."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spot.evaluation.evaluation_result import EvaluationResult, Measure
from spot.reporting.strips import TRUTH, Colour, Strip
from spot.reporting.tables import (
    attributes_of,
    best_of,
    cells_of,
    columns_of,
    display_name,
    foot,
    frame_of,
    scores_of,
    write_text,
)
from spot.runtime.pages import page_templates

if TYPE_CHECKING:
    import pandas as pd

TEMPLATE = "report.html.j2"


def write_report(
    result: EvaluationResult, path: Path, plots: Sequence[Path], strips: Sequence[Strip], colours: Mapping[str, Colour]
) -> Path:
    """Write the page from `report.html.j2`.

    Args:
        result: the evaluation.
        path: the HTML file.
        plots: PNG files, which are copied into the page.
        strips: pictures of the worst videos.
        colours: colour of each tracker's boxes in the strips.
    """
    environment = page_templates("spot.reporting")
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    measure = result.video_measure
    page = environment.get_template(TEMPLATE).render(
        result=result,
        videos=max((len(row.videos) + len(row.missing) for row in result.trackers), default=0),
        notes=foot(result),
        plots={plot.stem.replace("_", " "): plot.read_bytes() for plot in plots},
        main_table=_main_table(result),
        attribute_table=result.attribute_sizes and _numbers_table(result, attributes_of(result), result.main),
        video_table=measure and _numbers_table(result, scores_of(result), measure),
        legend={"ground truth": TRUTH, **colours},
        strips=strips,
    )
    write_text(path, page)
    return path


def _main_table(result: EvaluationResult) -> dict[str, Any]:
    measures = columns_of(result)
    numbers = frame_of(result)[[*(m.key for m in measures), "videos"]]
    meanings = {m.title: m.meaning for m in measures} | {"Videos": "videos with results"}
    return _table(cells_of(result).set_index("Tracker"), numbers, best_of(result).assign(videos=False), meanings)


def _numbers_table(result: EvaluationResult, frame: pd.DataFrame, measure: Measure) -> dict[str, Any]:
    """Make the table of a frame with a column of `measure` for each tracker, behind columns of counts."""
    names = {row.name: display_name(row) for row in result.trackers}
    counts = [column for column in frame if column not in names]
    frame = frame[[*counts, *names]]
    texts = frame.map(measure.show).assign(**{count: frame[count].map("{:.0f}".format) for count in counts})
    return _table(texts.rename(columns=names | {count: count.capitalize() for count in counts}), frame)


def _table(
    texts: pd.DataFrame,
    numbers: pd.DataFrame,
    best: pd.DataFrame | None = None,
    meanings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make titles with what they mean, and rows of cells: text, number to sort by, whether it is the best."""
    wins = best if best is not None else numbers.map(lambda _: False)
    columns = zip(texts.index, texts.to_numpy(), numbers.to_numpy(), wins.to_numpy(), strict=True)
    rows = [[(name, name, False), *zip(*cells, strict=True)] for name, *cells in columns]
    heads = [(title, (meanings or {}).get(title, "")) for title in (str(texts.index.name).capitalize(), *texts)]
    return {"heads": heads, "rows": rows}
