"""Find the result files of a tracker: folders, names, repetitions, and the files beside them.

These layouts are searched: `<SEQUENCE>.txt`; a folder for each sequence (GOT-10k, VOT); a folder for each repetition
(pytracking, `default_000/<SEQUENCE>.txt`). Exact names come first. Another spelling counts only if one file fits one
video.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spot.runtime.errors import SpotError

SUFFIXES = (".txt", ".csv", ".value")
PREFIXES = {"tc128": ("tpl",), "templecolor128": ("tpl",)}
"""Names that programs write in front of a benchmark's videos, beside the benchmark's own (`nfs_`, `uav_`)."""
ALIASES = {"Human4-2": "Human4"}
"""Videos that the GOT-10k toolkit calls otherwise: it numbers the targets of a sequence only where there are several."""
_ENDING = re.compile(r"(_\d{3})?(_time|_confidence)?", re.IGNORECASE)
_REPETITION = re.compile(r"_\d{3}$")


@dataclass(frozen=True)
class ResultFiles:
    """The files of one tracker on one benchmark.

    Attributes:
        tracker: its name.
        folder: its folder.
        boxes: video name to its result files, one a repetition.
        missing: videos without a file, in order.
        times, confidences: video name to the file beside its results, where there is one.
        doubtful: videos that several files fit, or whose file fits several videos; they count as missing.
    """

    tracker: str
    folder: Path
    boxes: dict[str, tuple[Path, ...]]
    missing: tuple[str, ...] = ()
    times: dict[str, Path] = field(default_factory=dict)
    confidences: dict[str, Path] = field(default_factory=dict)
    doubtful: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find_trackers(results: str | Path, benchmark: str, trackers: Sequence[str] | None) -> dict[str, Path]:
    """Find the folder of each tracker.

    Args:
        results: the results folder, or one benchmark's folder in it.
        benchmark: name of the benchmark, in any case.
        trackers: names or patterns (`run_e*`); None for all that have files.

    Raises:
        SpotError: a tracker does not exist; the message lists the existing ones.
    """
    root = Path(results).expanduser()
    if not root.is_dir():
        raise SpotError(f"results={root} is not a folder; correct paths.results")
    own = [_key(benchmark), _key(benchmark.rpartition("_")[0])]  # GOT-10k_val also lies in GOT-10k
    places = [child for key in own for child in _folders(root) if key and _key(child.name) == key]
    known: dict[str, Path] = {}
    for place in [*places, root]:
        for folder in _folders(place):
            if folder not in places and (trackers is not None or next(_files(folder), None)):
                known.setdefault(folder.name, folder)
        if trackers is None and known:
            return known
    if trackers is None:
        raise SpotError(f"{[*places, root][0]} has no tracker's folder with result files")
    found: dict[str, Path] = {}
    for wanted in map(str, trackers):
        names = [n for n in known if n == wanted] or [n for n in known if n.lower() == wanted.lower()]
        names = names or sorted(fnmatch.filter(known, wanted))
        if not names and root.name.lower() == wanted.lower():
            known[root.name] = root
            names = [root.name]
        if not names:
            there = ", ".join(sorted(known)[:8]) or "none"
            raise SpotError(f"no results of tracker {wanted} for {benchmark} in {root}; there are: {there}")
        found.update({name: known[name] for name in names})
    return found


def find_files(tracker: str, folder: Path, videos: Sequence[str], benchmark: str) -> ResultFiles:
    """Match the files in a tracker's folder with the videos of the benchmark.

    Raises:
        SpotError: no file belongs to a video; a video has two files that are not repetitions.
    """
    names = {_nfc(video): video for video in videos}
    groups: dict[str, dict[str, list[Path]]] = {kind: defaultdict(list) for kind in ("", "_time", "_confidence")}
    for path in sorted(_files(folder)):
        base, kind = _owner(path, folder, names)
        groups[kind][base].append(path)
    owner, doubtful = _match(names, groups[""], tracker, benchmark)
    boxes = {video: tuple(groups[""][owner[video]]) for video in videos if video in owner}
    if not boxes:
        example = next((paths[0].name for paths in groups[""].values()), None)
        has = f"has files such as {example}, perhaps of another benchmark" if example else "has no result files"
        raise SpotError(
            f"{folder} {has}: none of the {len(videos)} videos of {benchmark} has a result; check benchmark=, and give "
            "results= the folder that holds a folder for each tracker"
        )
    for video, paths in boxes.items():
        _check_repetitions(video, paths)
    times, confidences = (
        {v: kind[owner[v]][0] for v in boxes if owner[v] in kind} for kind in (groups["_time"], groups["_confidence"])
    )
    missing = tuple(v for v in videos if v not in boxes)
    return ResultFiles(tracker, folder, boxes, missing, times, confidences, doubtful)


def check_missing(files: ResultFiles, missing: str, remedy: str = "missing=skip evaluates the others") -> None:
    """Raise SpotError that names the videos without results and the remedy, unless `missing` is `skip`."""
    if files.missing and missing != "skip":
        total = len(files.boxes) + len(files.missing)
        shown = ", ".join(files.missing[:5]) + (" ..." if len(files.missing) > 5 else "")
        video = next((v for v in files.missing if v in files.doubtful), None)
        if video:
            remedy = f"{video} may be {' or '.join(files.doubtful[video])}: give the file the video's exact name"
        raise SpotError(f"{files.folder} lacks {len(files.missing)} of {total} videos: {shown}; {remedy}")


def _folders(place: Path) -> list[Path]:
    return sorted(child for child in place.iterdir() if child.is_dir() and not _is_litter(child.name))


def _is_litter(name: str) -> bool:
    """Return whether a file or folder was left by macOS, Jupyter or an editor."""
    return name.startswith(".") or name == "__MACOSX"


def _files(folder: Path) -> Iterator[Path]:
    """Result files below a folder."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.suffix.lower() in SUFFIXES and not any(map(_is_litter, inside)) and path.is_file():
            yield path


def _nfc(name: str) -> str:
    """Return a name with accents in one Unicode form; macOS and Linux use different forms."""
    return unicodedata.normalize("NFC", name)


def _key(name: str) -> str:
    """Letters and digits of any script, without case."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


def _owner(path: Path, folder: Path, videos: Iterable[str]) -> tuple[str, str]:
    """Return the video's name as the file spells it, and the file's content: "" (boxes), "_time" or "_confidence"."""
    stem, parent = _nfc(path.stem), _nfc(path.parent.name) if path.parent != folder else ""
    if path.suffix.lower() != ".value" and stem in videos and (parent not in videos or parent == stem):
        return stem, ""
    if parent and stem.startswith(parent) and (ending := _ENDING.fullmatch(stem[len(parent) :])):
        return parent, (ending[2] or "").lower()
    base, kind = stem, ""
    if found := re.search(r"(_time|_confidence)$", stem, re.IGNORECASE):
        base, kind = stem[: found.start()], found[1].lower()
    elif path.suffix.lower() == ".value":
        kind = "_confidence"
    if base not in videos and (kind or _REPETITION.sub("", base) in videos):
        base = _REPETITION.sub("", base)
    return base, kind


def _match(
    videos: dict[str, str], bases: Iterable[str], tracker: str, benchmark: str
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return video -> its spelling in the files, and the videos with several candidates."""
    owner = {video: name for name, video in videos.items() if name in bases}
    owner |= {v: name for v, name in ALIASES.items() if v in videos and v not in owner and name in bases}
    prefixes = [benchmark, re.sub(r"\d+$", "", benchmark), tracker, *PREFIXES.get(_key(benchmark), ())]
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, filter(None, map(_nfc, prefixes))))})[_\-. ]+", re.IGNORECASE)
    doubtful: dict[str, tuple[str, ...]] = {}
    levels: list[Callable[[str], str]] = [
        lambda name: pattern.sub("", name, count=1),  # uav_person21 and uav_person2_1 have one key
        _key,
        lambda name: _key(pattern.sub("", name, count=1)),
    ]
    for spell in levels:
        free = {name: spell(name) for name, video in videos.items() if video not in owner}
        left: dict[str, list[str]] = defaultdict(list)
        for base in bases:
            if base not in owner.values():
                left[spell(base)].append(base)
        for name, key in free.items():
            rivals = sum(key == other for other in free.values())
            if key and len(left[key]) == 1 == rivals:
                owner[videos[name]] = left[key][0]
            elif key and left[key]:
                doubtful[videos[name]] = tuple(left[key])
    return owner, {video: files for video, files in doubtful.items() if video not in owner}


def _check_repetitions(video: str, paths: Sequence[Path]) -> None:
    """Raise SpotError where a video's files are no repetitions: `x_001.txt`, `x_002.txt`, or folders `default_000`, ..."""
    kinds = {tuple((_REPETITION.sub("", part), bool(_REPETITION.search(part))) for part in _place(p)) for p in paths}
    if len(kinds) > 1 or len(set(map(_place, paths))) < len(paths):
        raise SpotError(
            f"{paths[0]} and {paths[1]}: two results of video {video} that are not repetitions; "
            "remove one, or give results= the folder that holds a folder for each tracker"
        )


def _place(path: Path) -> tuple[str, ...]:
    """Return the folders and the name of a file without its ending."""
    return (*path.parts[:-1], path.stem)
