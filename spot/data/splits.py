"""List files: which videos belong to a split."""

from __future__ import annotations

from spot.data.images import read_bytes
from spot.errors import SpotError


def read_list(path: str) -> list[str]:
    """The lines of a list file that are not blank, in order. Raises SpotError where there are none or one
    comes twice.
    """
    try:
        lines = [line.strip() for line in read_bytes(path).decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise SpotError(f"{path}: not a text file in UTF-8; download it again") from None
    names = [line for line in lines if line]
    if not names:
        raise SpotError(f"{path}: the list is empty; download it again")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(n for n in names if n in seen or seen.add(n))  # type: ignore[func-returns-value]
        raise SpotError(f"{path}: {twice} is listed twice; remove one line")
    return names
