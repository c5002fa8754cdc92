"""Options of earlier versions and their names now. Old names work, with a notice of one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

RENAMED: dict[str, str] = {
    "teacher.every": "teacher.ema_interval",
    "corrupt_share": "corrupt_fraction",
    "testing.corrupt_share": "testing.corrupt_fraction",
    "loader.max_broken_share": "loader.max_broken_fraction",
    "arch.network.class_share": "arch.network.class_fraction",
    "arch.recipe.frozen_epochs": "arch.network.frozen_epochs",
}
"""Old key -> new key. A row for a group (`old.group`) covers the keys below it."""

RENAMED_CHOICES: dict[tuple[str, str], str] = {
    ("supervision", "sparse"): "key_frames_only",
    ("logger", "null"): "csv",  # metrics.csv is always written
    ("logger", "none"): "csv",
}
"""(group, old choice) -> new choice."""


def with_new_names(words: Sequence[str], tell: bool = True) -> list[str]:
    """Replace old names among `key=value` options; print a notice for each.

    >>> with_new_names(["teacher.every=3", "+a=b", "--cfg"], tell=False)
    ['teacher.ema_interval=3', '+a=b', '--cfg']
    """
    renamed = [_new_word(word) for word in words]
    for old, new in zip(words, renamed, strict=True):
        if tell and old != new:
            print(f"{old}: the present name is {new}", file=sys.stderr)
    return renamed


def new_key(key: str) -> str:
    """The present name of a dotted key."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key


def _new_word(word: str) -> str:
    match = re.fullmatch(r"([+~]{0,2})([\w./@-]+)=(.*)", word, re.DOTALL)
    if not match or word.startswith("--"):
        return word
    sign, key, value = match.groups()
    values = [RENAMED_CHOICES.get((key, each), each) for each in value.split(",")]
    return f"{sign}{new_key(key)}={','.join(values)}"
