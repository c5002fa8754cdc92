"""Files that appear whole or not at all, whenever the process that writes them dies or the machine goes down."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from spot.runtime.errors import SpotError


@contextlib.contextmanager
def replacing(target: str | Path, remedy: str = "name another place, or free space") -> Iterator[Path]:
    """A passing name to write to; on leaving, the file takes its own name and replaces an older one.

    A reader finds the old content or the new. Several processes may write the same file: the last one's stays.

    Args:
        target: folders that it lacks are made.
        remedy: what to advise where it cannot be written.

    Raises:
        SpotError: it cannot be written; an older one is as it was.
    """
    target = Path(target)
    aside = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise SpotError(f"{target}: cannot be written ({error.strerror or error}); {remedy}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
