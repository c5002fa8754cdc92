"""The options of an evaluation. Types and ranges of the same keys in conf/evaluate.yaml: `spot.runtime.schema`."""

from __future__ import annotations

from dataclasses import dataclass

from spot.runtime.errors import SpotError


@dataclass(frozen=True)
class Options:
    """The options of an evaluation.

    Attributes:
        protocol: rules of one-pass evaluation; None for those of the benchmark's own toolkit.
        exclude_invalid: see `protocols.get_protocol`.
        missing: what to do about videos without results: `stop`, or `skip` them and mark the tracker.
        per_video: write videos.csv.
        attributes: evaluate the videos of each attribute too.
        bootstrap: resamples of the videos for 95 % intervals; 0 for none.
        compare: two trackers for a paired test.
        seed: seed of resamples and permutations.
        worst: number of videos with the lowest scores to show in the report.
        plots, report: write them.
        bounds: VOT regions are cut at the `frame`, at the largest coordinates of the video's `polygons` (see
            `evaluate_vot`), or at `none`: the left and top edges only. None for the frame where its size is known.
    """

    protocol: str | None = None
    exclude_invalid: bool = False
    missing: str = "stop"
    per_video: bool = True
    attributes: bool = True
    bootstrap: int = 0
    compare: tuple[str, str] | None = None
    seed: int = 0
    worst: int = 6
    plots: bool = True
    report: bool = True
    bounds: str | None = None

    def __post_init__(self) -> None:
        if self.compare is not None and len(self.compare) != 2:
            raise SpotError(f"compare=[{','.join(self.compare)}] needs two trackers: compare=[first,second]")
