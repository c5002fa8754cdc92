"""Read and write the published program's `sampler_state_{run}.json` (docs/formats.md).

`{SEQUENCE: [{"key_frame_ids", "relay_frame_ids", "bboxes", "confidence"} per path]}`: relay ids are sorted and include
the key frames; boxes are xywh in image pixels. Published files can have gigabytes, so sequences are read one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError
from spot.state.sampler_state import SamplerState
from spot.state.store import PseudoLabels, StateStore

_CHUNK = 1 << 22  # characters read at a time
LARGEST = 1e6  # pixels of a box: larger than any image
_SPACE = re.compile(r"\s*")


class _Target(NamedTuple):
    """One target of a file: explored frames (m,), boxes (m, 4), confidences (m,), and which are key frames (m,)."""

    ids: np.ndarray
    boxes: np.ndarray
    confidences: np.ndarray
    is_key: np.ndarray


def read_published(source: str | Path, folder: str | Path, lengths: Mapping[str, int]) -> StateStore:
    """Make a sampler state from a published file; the file's content becomes version 0.

    Key frames get the confidence 1, whatever the file says.

    Args:
        source: the published JSON.
        folder: folder of the new state; it must not exist, or be empty.
        lengths: frames of each video by the name that the file uses. Its order becomes the order of the targets; videos
            without an entry in the file are left out.

    Raises:
        SpotError: the file is not a published state, names a video without a length, or has an inconsistent target.
    """
    found: dict[str, list[_Target]] = {}
    for name, entries in _sequences(Path(source)):
        if name not in lengths:
            raise SpotError(
                f"{source}: holds {name}, which is not in the data set; take the data that it was made with"
            )
        found[name] = [_parse(f"{source}: {name} (target {i})", e, lengths[name]) for i, e in enumerate(entries)]
    names = [(name, i) for name in lengths for i in range(len(found.get(name, ())))]
    targets = [found[name][i] for name, i in names]
    if not targets:
        raise SpotError(f"{source}: holds no sequence; is this a published sampler state?")
    relays = [np.flatnonzero(~target.is_key) for target in targets]
    explored = PseudoLabels(
        np.repeat(np.arange(len(targets)), [len(rows) for rows in relays]),
        np.concatenate([target.ids[rows] for target, rows in zip(targets, relays, strict=True)]),
        np.concatenate([target.boxes[rows] for target, rows in zip(targets, relays, strict=True)]),
        np.concatenate([target.confidences[rows] for target, rows in zip(targets, relays, strict=True)]),
    )
    return StateStore.create(
        folder,
        names,
        [lengths[name] for name, _ in names],
        [target.ids[target.is_key] for target in targets],
        [target.boxes[target.is_key] for target in targets],
        explored,
    )


def check_published(source: str | Path) -> None:
    """Read the first sequence of a published file. Raise SpotError if the file is something else."""
    next(_sequences(Path(source)))


def write_published(state: SamplerState, target: str | Path) -> None:
    """Write a version as a published file, sequences in the order of their names.

    As in the published program, relay boxes have steps of 0.1 px and confidences steps of 1e-4; boxes of key frames
    have all their digits. The file is written atomically.

    Raises:
        SpotError: it cannot be written.
    """
    order = sorted(range(len(state)), key=lambda p: state.names[p])
    with replacing(target) as aside, open(aside, "w", encoding="utf-8") as file:
        lead = "{\n"
        for name, group in groupby(order, key=lambda p: state.names[p][0]):
            file.write(f"{lead}{json.dumps(name)}: {json.dumps([_entry(state, p) for p in group])}")
            lead = ",\n"
        file.write("\n}\n")


def _entry(state: SamplerState, index: int) -> dict[str, list]:
    target = state.target(index)
    boxes = target.boxes.astype(np.float64)
    is_key = np.isin(target.ids, target.key_ids)
    boxes[~is_key] = boxes[~is_key].round(1)
    return {
        "bboxes": boxes.tolist(),
        "confidence": target.confidences.astype(np.float64).round(4).tolist(),
        "key_frame_ids": target.key_ids.tolist(),
        "relay_frame_ids": target.ids.tolist(),
    }


def _parse(where: str, entry: Any, length: int) -> _Target:
    try:
        ids = np.asarray(entry["relay_frame_ids"], np.float64)
        boxes = np.asarray(entry["bboxes"], np.float64).reshape(-1, 4)
        confidences = np.asarray(entry["confidence"], np.float64)
        keys = np.asarray(entry["key_frame_ids"], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SpotError(f"{where}: {error!r}; is this a published sampler state?") from None
    fault = None
    if ids.ndim + confidences.ndim + keys.ndim != 3:
        fault = "lists inside lists"
    elif not len(ids) == len(boxes) == len(confidences) > 0:
        fault = f"{len(ids)} frames, {len(boxes)} boxes and {len(confidences)} confidences"
    elif not (np.diff(ids) > 0).all():
        fault = "relay_frame_ids are not sorted"
    elif ids[0] < 0 or ids[-1] >= length:
        fault = f"frames {ids[0]:.0f}..{ids[-1]:.0f} of a video of {length}"
    elif (ids % 1).any():
        fault = "relay_frame_ids are not whole numbers"
    elif not len(keys) or not np.isin(keys, ids).all():
        fault = "key_frame_ids are not among relay_frame_ids"
    elif not ((np.abs(boxes) < LARGEST).all() and (confidences >= 0).all() and (confidences <= LARGEST).all()):
        fault = "boxes or confidences are not finite, or far too large"
    if fault:
        raise SpotError(f"{where}: {fault}; take an undamaged file and the data that it was made with")
    is_key = np.isin(ids, keys)
    return _Target(ids.astype(np.int64), boxes.astype(np.float32), confidences.astype(np.float32), is_key)


def _sequences(source: Path) -> Iterator[tuple[str, list]]:
    """Yield the name and content of each sequence; only one is in memory at a time."""
    decoder = json.JSONDecoder()
    try:
        with open(source, encoding="utf-8") as file:
            text, mark, want = file.read(_CHUNK), 0, _CHUNK
            if not text.startswith("{"):
                raise SpotError(f"{source}: not a JSON object; is this a published sampler state?")
            while True:
                try:
                    start = _space(text, mark + 1)
                    name, end = decoder.raw_decode(text, start)
                    start = _space(text, _mark(text, end, ":") + 1)
                    content, end = decoder.raw_decode(text, start)
                    following = _mark(text, end, ",}")
                except json.JSONDecodeError as error:  # not read to its end yet, or damaged: read more text
                    more = file.read(want)
                    if not more:
                        raise SpotError(f"{source}: ends early or is damaged ({error.msg}); take a whole one") from None
                    text, mark, want = text[mark:] + more, 0, 2 * want
                    continue
                if not isinstance(name, str):
                    raise SpotError(
                        f"{source}: {name!r} is not the name of a video; is this a published sampler state?"
                    )
                if not isinstance(content, list):
                    raise SpotError(f"{source}: {name} is not a list of targets; is this a published sampler state?")
                yield name, content
                if text[following] == "}":
                    return
                mark, want = following, _CHUNK
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else error
        raise SpotError(f"{source}: cannot be read ({reason}); is this a published sampler state?") from None


def _space(text: str, place: int) -> int:
    """Return the end of the white space at a place."""
    return _SPACE.match(text, place).end()  # type: ignore[union-attr]  # it also matches the empty text


def _mark(text: str, place: int, marks: str) -> int:
    """Return the place of one of the marks after white space."""
    place = _space(text, place)
    if text[place : place + 1] not in tuple(marks):
        raise json.JSONDecodeError(f"expected one of {marks}", text, place)
    return place
