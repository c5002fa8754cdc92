"""Show the progress and speed of tracking: a bar on a terminal, else a line from time to time."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 30.0  # seconds between lines where there is no terminal


class FrameProgress:
    """Counts frames on stderr. A context manager; silent where `shown` is False (all processes but one)."""

    def __init__(self, label: str, frames: int, shown: bool = True) -> None:
        self.done = 0
        self.frames = frames
        self._label = label
        self._start = self._last = time.perf_counter()
        self._shown = shown
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if shown and console.is_terminal:
            rate = TextColumn("{task.fields[rate]:.0f} frames/s")
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(label, total=frames, rate=0.0)

    @property
    def rate(self) -> float:
        """Frames per second so far, decoding included."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._start

    def advance(self, frames: int) -> None:
        """Count further frames as done."""
        self.done += frames
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.update(self._task, advance=frames, rate=self.rate)
        elif self._shown and now - self._last >= LINE_EVERY:
            self._last = now
            print(f"{self._label}: {self.done}/{self.frames} frames, {self.rate:.0f} frames/s", file=sys.stderr)

    def __enter__(self) -> FrameProgress:
        self._start = time.perf_counter()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
