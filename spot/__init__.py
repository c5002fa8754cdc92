"""SPOT: single-object trackers trained from a handful of labelled frames per video.

In Python:

    import spot
    tracker = spot.load("outputs/mine")          # a run, a checkpoint, or "default" with arch=
    tracker.start(frame, [412, 180, 60, 44])     # RGB array; x, y, w, h
    box, score = tracker.step(next_frame)

The commands are functions too: `spot.annotate(run="mine")`, `spot.train("experiment=own_videos", run="mine")`.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import on first use: `import spot` alone loads neither torch nor Hydra."""
    from spot.runtime.console import lazy_attribute

    return lazy_attribute(name)
