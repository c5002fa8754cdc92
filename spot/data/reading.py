"""Read the videos of a data set: its files are parsed once, in parallel, and then opened as memory maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from spot.data.annotation_cache import CacheEntry, Source, cache_folder, save, video_set
from spot.data.annotations import Annotation, attributes_in, drawable, first_frame_alone, fit_rows, parse_table
from spot.data.folders import read_optional, stamp
from spot.data.images import read_bytes
from spot.data.video import VideoSet
from spot.runtime.cpu import count_cores
from spot.runtime.errors import SpotError

PARALLEL_FROM = 256  # videos; for fewer, starting processes takes longer than it saves
CHUNK = 32  # videos that a process reads at a time

Reader = Callable[[Source], Annotation]
Finder = Callable[[], tuple[list[Source], list[str]]]


def read_videos(
    name: str,
    split: str,
    identity: str,
    find: Finder,
    read: Reader,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open a set of videos, from the cache where that is up to date.

    Args:
        name, split: of the set.
        identity: all that tells this set from others of the same name and split: its folder, its list file.
        find: gives the sources, and the files and folders whose change could change the sources.
        read: gives the annotation of one source; a function at the top of a module, as other processes call
            it.
        cache: the cache's folder; None reads everything anew.
        broken: collects one line for each video that cannot be read, and leaves it out, instead of raising.

    Raises:
        SpotError: nothing found, a file cannot be read, or the cache cannot be written.
    """
    place = cache_folder(cache, name, split, identity) if cache else None
    saved = CacheEntry.find(place) if place else None
    if saved is not None and saved.is_fresh():
        return saved.videos(name, split)
    sources, looked_at = find()
    # Taken before reading: a file that changes meanwhile is read again next time.
    stamps = {path: stamp(path) for path in [*looked_at, *(f for s in sources for f in s.files)]}
    known = saved.unchanged(sources, stamps) if saved is not None else {}
    sources, rows = _rows(name, sources, _parse(sources, read, known), broken)
    boxes = np.concatenate([r.boxes for r in rows]).astype(np.float32, copy=False)
    visible = np.concatenate([r.visible for r in rows])
    if place is not None and not broken:
        return save(place, sources, stamps, boxes, visible).videos(name, split)
    return video_set(name, split, sources, boxes, visible)


def read_boxes(source: Source) -> Annotation:
    """Read one file of rows x,y,w,h; the target is visible where its box has an area.

    There is a row for every frame, or one for the first frame alone.
    """
    file, frames = source.files[0], len(source.frames)
    boxes = first_frame_alone(parse_table(read_bytes(file), file, 4).astype(np.float32), frames)
    fit_rows(boxes, frames or len(boxes), file)
    return Annotation(boxes, drawable(boxes))


def add_attributes(videos: VideoSet, names: Sequence[str], file: Callable[[str], str]) -> VideoSet:
    """Give videos their attributes, those of `names` whose flag is set in the video's file; it may be missing."""
    for video in videos.names:
        if (data := read_optional(file(video))) is not None:
            videos.extras[video] = {"attributes": attributes_in(data, file(video), names)}
    return videos


def _parse(sources: Sequence[Source], read: Reader, known: dict[str, Annotation]) -> list[Annotation | SpotError]:
    """Return the annotation of each source, or why it cannot be read; that of `known` where it has one."""
    missing = [source for source in sources if source.name not in known]
    attempt = partial(_attempt, read)
    parsed: Iterator[Annotation | SpotError]
    if len(missing) < PARALLEL_FROM:
        parsed = map(attempt, missing)
    else:
        with ProcessPoolExecutor(count_cores()) as pool:
            parsed = pool.map(attempt, missing, chunksize=CHUNK)
    return [known[source.name] if source.name in known else next(parsed) for source in sources]


def _attempt(read: Reader, source: Source) -> Annotation | SpotError:
    try:
        return read(source)
    except SpotError as error:
        return error


def _rows(
    name: str,
    sources: Sequence[Source],
    results: Sequence[Annotation | SpotError],
    broken: list[str] | None,
) -> tuple[list[Source], list[Annotation]]:
    """Return the sources that can be read, with their frame counts, and their rows."""
    errors = [r for r in results if isinstance(r, SpotError)]
    if errors and broken is None:
        more = f" ({len(errors) - 1} more cannot be read; python -m spot.check names all)" if errors[1:] else ""
        raise SpotError(f"{errors[0]}{more}")
    if broken is not None:
        broken.extend(str(e) for e in errors)
    good = [(s, r) for s, r in zip(sources, results, strict=True) if not isinstance(r, SpotError)]
    if not good:
        raise SpotError(f"no video of {name} can be read; the first: {errors[0]}")
    counted = [replace(s, frames=replace(s.frames, count=len(r.boxes))) for s, r in good]
    return counted, [r for _, r in good]
