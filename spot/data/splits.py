"""Splits: lists of videos of a data set.

A split is a name or a file. The usual files have one video's name in each line, or one 0-based index into the sorted
videos of the data set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence

from spot.data.images import read_bytes
from spot.runtime.errors import SpotError

# The published names of splits -> what the list files call them.
_ALIASES = {"vottrain": "vot_train", "votval": "vot_val"}


def list_file(split: str, prefix: str, splits: str | None) -> str:
    """Return the list file of a split.

    Args:
        split: a path to a file, or a name: `train` finds `<prefix>_train_split.txt`, `<prefix>_train.txt` or
            `train.txt`.
        prefix: how file names begin for this data set: `lasot`, `got10k`.
        splits: the folder of list files (`paths.splits`), None where it is not set.

    Raises:
        SpotError: there is no such file; the text says which file to get and where it belongs.
    """
    if split.endswith(".txt") or "/" in split:
        if os.path.isfile(split):
            return split
        raise SpotError(f"split={split}: no such list file; correct the path")
    alias = _ALIASES.get(split, split)
    names = (f"{prefix}_{alias}_split.txt", f"{prefix}_{alias}.txt", f"{split}.txt")
    for name in names:
        if splits and os.path.isfile(f"{splits}/{name}"):
            return f"{splits}/{name}"
    where = f"put it into paths.splits ({splits})" if splits else "set paths.splits or SPLITS_ROOT to its folder"
    raise SpotError(f"split={split} needs the list {names[0]} (from PyTracking's ltr/data_specs, or your own); {where}")


def split_name(split: str) -> str:
    """Return what a split is called in file names: of a list file, its name without the ending."""
    return os.path.splitext(os.path.basename(split))[0] if split.endswith(".txt") or "/" in split else split


def read_list(file: str, folders: bool = False) -> list[str]:
    """Return the lines of a list file that are not blank, in order.

    Args:
        folders: lines are names of folders beside the file: nothing that leads elsewhere is accepted.

    Raises:
        SpotError: the file cannot be read, has no lines, has one of them twice, or names another place.
    """
    try:
        lines = [line.strip() for line in read_bytes(file).decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise SpotError(f"{file}: not a text file in UTF-8; download it again") from None
    lines = [line for line in lines if line]
    if not lines:
        raise SpotError(f"{file}: the list is empty; download it again")
    seen: set[str] = set()
    for line in lines:
        if line in seen:
            raise SpotError(f"{file}: {line} is listed twice; remove one of them")
        seen.add(line)
        if folders and (os.path.isabs(line) or "\\" in line or ".." in line.split("/")):
            raise SpotError(f"{file}: {line} is not the name of a folder beside the list; correct the line")
    return lines


def choose(file: str, available: Callable[[], Sequence[str]]) -> list[str]:
    """Return the videos that a list file names, in its order.

    Args:
        file: names, or 0-based indices into what `available` gives.
        available: all videos of the data set; only called where the file holds indices.

    Raises:
        SpotError: the file cannot be read, or an index is larger than the data set.
    """
    lines = read_list(file)
    if not all(line.isdecimal() for line in lines):
        return lines
    names, indices = available(), [int(line) for line in lines]
    if max(indices) >= len(names):
        raise SpotError(f"{file}: index {max(indices)} of {len(names)} videos; the data set is incomplete")
    return [names[i] for i in indices]


def refuse_overlap(names: Collection[str], forbidden: Collection[str], what: str) -> None:
    """Raise SpotError where a video for training is among the `forbidden` ones; `what` says whose they are."""
    if common := sorted(set(names) & set(forbidden)):
        raise SpotError(
            f"{common[0]} and {len(common) - 1} more videos of the split belong to {what}; take them out of the list"
        )


def parse_sets(split: str) -> list[int]:
    """Return numbers in `0-3` or `0,2,5-7`, ascending. Raise SpotError for anything else."""
    numbers: set[int] = set()
    for part in split.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first:
            raise SpotError(f"split={split}: give sets as 0-3 or 0,2,5, or the name of a split, or a list file")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def format_sets(numbers: Sequence[int]) -> str:
    """Return how file names write ascending numbers of sets: `0-3`, `5` or `0,2,5`."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 1 and list(numbers) == list(range(first, last + 1)):
        return f"{first}-{last}"
    return ",".join(str(n) for n in numbers)
