"""Send an evaluation to Weights & Biases: its table, its plots, and the scores of one tracker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def publish(
    run: Any, benchmark: str, summary: Mapping[str, Mapping[str, float]], output: Path, tracker: str | None = None
) -> None:
    """Log under `evaluation/<benchmark>/`.

    Args:
        run: a wandb run.
        summary: {tracker: {measure: value}}, fractions of 1.
        output: folder with the plots.
        tracker: name of the tracker whose scores are logged one by one too, so that runs can be compared.
    """
    import wandb

    place = f"evaluation/{benchmark}"
    measures = list(dict.fromkeys(measure for scores in summary.values() for measure in scores))
    rows = [[name, *(scores.get(measure) for measure in measures)] for name, scores in summary.items()]
    logged: dict[str, Any] = {f"{place}/table": wandb.Table(columns=["tracker", *measures], data=rows)}
    logged |= {f"{place}/{plot.stem}": wandb.Image(str(plot)) for plot in sorted(output.glob("*.png"))}
    if tracker is not None:
        logged |= {f"{place}/{measure}": value for measure, value in summary[tracker].items()}
    run.log(logged)
