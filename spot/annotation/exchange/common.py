"""What all exchange formats share: the videos' frames, names of targets, and files from a folder, file or zip."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spot.data.box_table import BoxTable
from spot.data.datasets.videos import frame_sizes
from spot.data.folders import is_clutter
from spot.data.labels import check_labels
from spot.data.video import VideoSet
from spot.runtime.atomic_files import replacing
from spot.runtime.csv_cells import cell_text, csv_cell
from spot.runtime.errors import SpotError

LABEL = "target_"  # labels in other tools: target_1, target_2, ...
_LARGEST_FILE = 1 << 30  # bytes that a file, or a zip's content, may have


@dataclass(frozen=True)
class VideoInfo:
    """The frames of one video.

    Attributes:
        frames: their number.
        width, height: size in pixels.
        image: file name of a frame, `clip/000012.jpg`: unique over all videos and always the same.
        time: presentation time of a frame in seconds; frame / 25 where it is not known.
    """

    frames: int
    width: int
    height: int
    image: Callable[[int], str]
    time: Callable[[int], float]


Videos = Mapping[str, VideoInfo]
Labels = Mapping[str, int]  # a label of another tool -> number of the target


def video_infos(videos: VideoSet) -> dict[str, VideoInfo]:
    """Describe a set of videos for the exchange formats."""

    from spot.data.extraction import Manifest

    infos = {}
    for name, (count, width, height) in frame_sizes(videos).items():
        frames = videos[name].frames
        manifest = Manifest.read(Path(videos.extracted) / name) if videos.extracted else None
        times = manifest.times if manifest else None

        def image(index: int, name: str = name, frames: Any = frames) -> str:
            return f"{name}/{os.path.basename(frames.path(index))}"

        def time(index: int, times: list[float | None] | None = times) -> float:
            known = times[index] if times and index < len(times) else None
            return index / 25 if known is None else known

        infos[name] = VideoInfo(count, width, height, image, time)
    return infos


def image_frames(videos: Videos) -> dict[str, tuple[str, int]]:
    """Return the file name of every frame, with and without its ending -> (video, frame)."""
    places: dict[str, tuple[str, int]] = {}
    for name, info in videos.items():
        for frame in range(info.frames):
            image = info.image(frame)
            places[image] = places[os.path.splitext(image)[0]] = (name, frame)
    return places


def find_image(name: str, places: Mapping[str, tuple[str, int]], source: str) -> tuple[str, int]:
    """Return the (video, frame) that an image name of another tool means: its last two parts count.

    Raises:
        SpotError: there is no such frame.
    """
    parts = name.replace("\\", "/").split("?d=")[-1].strip("/").split("/")
    found = places.get("/".join(parts[-2:]))
    if found is None:
        raise SpotError(f"{source}: unknown frame {name}; frames are called {next(iter(places), 'video/000000.jpg')}")
    return found


def info_of(name: str, videos: Videos, source: str) -> VideoInfo:
    """Return the video of that name. Raise SpotError if there is none."""
    if name not in videos:
        raise SpotError(f"{source}: unknown video {name}; the videos are called {', '.join(list(videos)[:3])}")
    return videos[name]


def target_of(label: str, labels: Labels | None, source: str) -> int:
    """Return the target that a label means. Raise SpotError for an unknown one."""
    if labels and label in labels:
        return labels[label]
    number = label.removeprefix(LABEL)
    if label.startswith(LABEL) and number.isdecimal() and number.isascii():
        return int(number)
    raise SpotError(f"{source}: unknown label {label}; rename it to {LABEL}1, or say labels={{{label}: 1}}")


def checked(table: BoxTable, videos: Videos, source: str) -> BoxTable:
    """Return the table, if all its rows fit the videos. Raise SpotError otherwise."""
    check_labels(table, {name: (v.frames, v.width, v.height) for name, v in videos.items()}, source)
    return table


class Columns:
    """Collects the rows of a table."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, int, list[float], float, bool]] = []

    def add(
        self,
        video: str,
        target: int,
        frame: int,
        box: list[float] | None,
        score: float = 1.0,
        is_gt: bool = True,
    ) -> None:
        """Add a row; `box` xywh, None where the target is absent."""
        self._rows.append((video, target, frame, box or [np.nan] * 4, score, is_gt))

    def table(self, source: str) -> BoxTable:
        """Return all rows. Raise SpotError if a frame of a target has two of them."""
        try:
            return BoxTable.build(*([row[i] for row in self._rows] for i in range(6)))  # type: ignore[arg-type]
        except SpotError as error:
            raise SpotError(f"{source}: {error}") from None


class Files:
    """The files of an import: a file alone, those of a folder, or those of a zip, which is never unpacked.

    Raises:
        SpotError: nothing there; a zip that names places outside itself or holds more than 1 GB.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        try:
            if self.path.is_dir():
                found = (Path(folder, file) for folder, _, files in os.walk(self.path) for file in files)
                names = [str(file.relative_to(self.path)) for file in found]
            elif zipfile.is_zipfile(self.path):
                self._zip = zipfile.ZipFile(self.path)
                names = self._zip_names(self._zip)
            elif self.path.is_file():
                names = [""]
            else:
                raise SpotError(f"{path}: no such file or folder; correct import=")
        except (OSError, zipfile.BadZipFile) as error:
            raise SpotError(f"{path}: cannot be read ({error}); correct import=") from None
        self.names = sorted(n for n in names if not any(is_clutter(part) for part in n.split("/")))

    def ending(self, *endings: str) -> list[str]:
        """Return names of the files that end so; a file alone counts whatever its name."""
        return [name for name in self.names if not name or name.lower().endswith(endings)]

    def read(self, name: str) -> bytes:
        """Return the content of one of `names`. Raise SpotError if it cannot be read."""
        try:
            if self._zip is not None:
                return self._zip.read(name)
            file = self.path / name if name else self.path
            if file.stat().st_size > _LARGEST_FILE:
                raise SpotError(f"{file}: larger than 1 GB; split it")
            return file.read_bytes()
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise SpotError(f"{self.place(name)}: cannot be read ({error})") from None

    def text(self, name: str) -> str:
        """Return the content as text. Raise SpotError if it is not UTF-8."""
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SpotError(f"{self.place(name)}: not a text file in UTF-8") from None

    def json(self, name: str) -> Any:
        """Return the content as JSON. Raise SpotError if it is none."""
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise SpotError(f"{self.place(name)}: not a JSON file ({error})") from None

    def place(self, name: str) -> str:
        """Return a file's name for error messages."""
        return f"{self.path}/{name}" if name else str(self.path)

    def _zip_names(self, archive: zipfile.ZipFile) -> list[str]:
        members = [m for m in archive.infolist() if not m.is_dir()]
        for member in members:
            parts = member.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or ":" in parts[0]:
                raise SpotError(f"{self.path}: the zip names {member.filename!r}, a place outside itself")
        if sum(member.file_size for member in members) > _LARGEST_FILE:
            raise SpotError(f"{self.path}: the zip holds more than 1 GB; unpack it and import the folder")
        return [member.filename for member in members]


@contextlib.contextmanager
def reading(files: Files, kind: str) -> Iterator[None]:
    """Turn what broken content raises into a SpotError that names the files and the expected kind."""
    broken = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
    try:
        yield
    except (*broken, csv.Error, yaml.YAMLError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise SpotError(f"{files.path}: not {kind} ({type(error).__name__}: {reason})") from None


def write_text(file: Path, text: str) -> Path:
    """Write a text file atomically."""
    with replacing(file, "choose another folder") as aside:
        aside.write_text(text, encoding="utf-8")
    return file


def write_small(file: Path, text: str) -> Path:
    """Write one of very many small text files atomically, but without waiting for the disk."""
    aside = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        raise SpotError(f"{file}: cannot be written ({error.strerror}); choose another folder") from None
    return file


def number(value: float, decimals: int = 4) -> str:
    """Return a number without needless zeros."""
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".") or "0"


FLAGS = "flags.csv"  # data that a format cannot store: absence, scores, whether a human drew the box


def write_flags(table: BoxTable, folder: Path) -> list[Path]:
    """Write `flags.csv` with the rows that are absent or not drawn by a human; no file if there are no such rows."""
    rows = table.take(table.absent | ~table.is_gt | (table.score != 1))
    if not len(rows):
        return []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("video", "target", "frame", "score", "is_gt", "absent"))
    columns = (rows.video, rows.target, rows.frame, rows.score, rows.is_gt, rows.absent)
    for video, target, frame, score, is_gt, absent in zip(*(c.tolist() for c in columns), strict=True):
        writer.writerow((csv_cell(video), target, frame, number(score), int(is_gt), int(absent)))
    return [write_text(folder / FLAGS, text.getvalue())]


def apply_flags(table: BoxTable, files: Files) -> BoxTable:
    """Apply `flags.csv` if there is one. Raise SpotError if it is broken."""
    name = next((n for n in files.names if n.rpartition("/")[2] == FLAGS), None)
    if name is None:
        return table
    known = {key: row for row, key in enumerate(_keys(table))}
    score, is_gt = table.score.copy(), table.is_gt.copy()
    absent = Columns()
    try:
        for row in csv.DictReader(io.StringIO(files.text(name), newline="")):
            key = (cell_text(row["video"]), int(row["target"]), int(row["frame"]))
            if int(row["absent"]):
                absent.add(*key, None, float(row["score"]), bool(int(row["is_gt"])))
            elif key in known:
                score[known[key]], is_gt[known[key]] = float(row["score"]), bool(int(row["is_gt"]))
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise SpotError(
            f"{files.place(name)}: damaged ({error}); delete it to import the boxes without flags"
        ) from None
    return replace(table, score=score, is_gt=is_gt).merge(absent.table(files.place(name)))


def _keys(table: BoxTable) -> list[tuple[str, int, int]]:
    return list(zip(table.video.tolist(), table.target.tolist(), table.frame.tolist(), strict=True))
