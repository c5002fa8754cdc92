"""The user's own videos: video files and folders of images (`data=videos paths.videos=/clips`).

<root>/clip.mp4 ...                   mp4, m4v, mov, avi, mkv or webm; the video is called `clip`
      /walk/frame_1.jpg ...           a folder of images, in the natural order of their names; called `walk`
<frames>/<name>_<id>/clip/            extracted frames with a manifest: see `spot.data.extraction`
                    /walk/            a manifest alone: the images stay where they are
<labels>/<name>.csv                   the boxes that the user has drawn: see `spot.data.box_table`

Frame numbers count from 0 through the manifest. A video has annotation only in the frames that the CSV labels: of its
first target in `VideoSet.boxes` (NaN elsewhere), of all targets in `VideoSet.own_labels`.

    videos = load("/clips", frames="outputs/frames", labels="outputs/labels")
    videos["clip"].frames.path(12)           # the JPEG file of frame 12
    videos.own_labels                        # a `BoxTable`, empty before the first label
    manifest_of(videos["clip"]).times        # presentation times in seconds
    frame_sizes(videos)                      # name -> (frames, width, height), for `spot.data.labels`
    labels_file("outputs/labels", videos.name)   # where labels are written
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spot.data.box_table import BoxTable
from spot.data.extraction import Manifest, extract, file_hash
from spot.data.folders import is_clutter, list_frames, need_root
from spot.data.images import read_frame
from spot.data.labels import Sizes, labels_file, read_labels
from spot.data.video import Frames, Video, VideoSet
from spot.data.video_files import VIDEOS
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)

Progress = Callable[[str], object]  # called with the video's name for each frame that is extracted


def load(
    root: str | None,
    frames: str,
    labels: str | None = None,
    name: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open a folder of videos; extract the frames of those that are new, with a bar on a terminal.

    Args:
        root: the folder.
        frames: folder for extracted frames and manifests.
        labels: folder of the CSV of labels; None: no labels.
        name: of the data set, in the name of the CSV too; `root`'s own name by default.
        broken: collects one line for each video that cannot be used instead of raising.

    Raises:
        SpotError: no videos; a video that cannot be used, or that has changed since its frames were extracted; labels
            that do not fit. All other videos are extracted before it is raised.
    """
    root = need_root(root, "videos", "VIDEOS_ROOT")
    name = name or os.path.basename(os.path.abspath(root))
    home = extracted_folder(frames, root, name)
    sources = _find(Path(root).absolute())
    manifests: dict[str, Manifest] = {}
    faults: list[str] = []
    with _bar() as advance:
        for video, source in sources.items():
            try:
                manifests[video] = _manifest(video, source, home / video, advance)
            except SpotError as error:
                faults.append(str(error))
    manifests.update(_deleted(home, set(sources)))
    for manifest in manifests.values():
        if manifest.note:
            log.warning("%s: %s; the frames before it are used", manifest.source, manifest.note)
    if broken is not None:
        broken.extend(faults)
    elif faults:
        more = f" ({len(faults) - 1} more cannot be used; python -m spot.check names all)" if faults[1:] else ""
        raise SpotError(f"{faults[0]}{more}")
    if not manifests:
        raise SpotError(f"no video of {root} can be used" + (f"; the first: {faults[0]}" if faults else ""))
    sizes = {video: (m.count, m.width, m.height) for video, m in manifests.items()}
    table = read_labels(labels_file(labels, name), sizes) if labels else BoxTable.from_rows([])
    videos = [_video(video, manifests[video].frames(home / video), table) for video in sorted(manifests)]
    opened = VideoSet.from_videos(name, videos)
    opened.own_labels = table
    opened.extracted = str(home)
    return opened


def extracted_folder(frames: str, root: str, name: str) -> Path:
    """Return where the extracted frames of a folder of videos lie; two folders of one name have different ones."""
    place = os.path.realpath(root)
    return Path(frames).expanduser() / f"{name}_{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def manifest_of(videos: VideoSet, name: str) -> Manifest:
    """Return the manifest of one video of a set that `load` opened. Raise SpotError if there is none."""
    videos.index_of(name)
    manifest = Manifest.read(Path(videos.extracted or "") / name) if videos.extracted else None
    if manifest is None:
        raise SpotError(f"{name}: no manifest; only videos of data=videos have one")
    return manifest


def frame_sizes(videos: VideoSet) -> Sizes:
    """Return number of frames, width and height of each video, as `spot.data.labels` takes them.

    If a video has no manifest, its first frame is read.
    """
    sizes = {}
    for video in videos:
        manifest = Manifest.read(Path(videos.extracted) / video.name) if videos.extracted else None
        first = manifest or read_frame(video.frames.path(0), "fast", crop_pixels=8, out_pixels=1)
        sizes[video.name] = (len(video), first.width, first.height)
    return sizes


def _find(root: Path) -> dict[str, Path]:
    """Return name -> video file or folder of images; names ascending."""
    sources: dict[str, Path] = {}
    for entry in sorted(root.iterdir()):
        is_folder = entry.is_dir()
        if is_clutter(entry.name) or not (is_folder or entry.suffix.lower() in VIDEOS):
            continue
        video = entry.name if is_folder else entry.stem
        if any(ord(symbol) < 32 for symbol in video) or video.endswith(".partial"):
            raise SpotError(f"{entry.name!r} cannot be the name of a video; rename it")
        if (other := sources.get(video)) is not None:
            raise SpotError(f"{other.name} and {entry.name} in {root} are both called {video}; rename one of them")
        sources[video] = entry
    if not sources:
        raise SpotError(f"{root}: no videos; expected {', '.join(VIDEOS)}, or a folder of images for each video")
    return sources


def _manifest(video: str, source: Path, folder: Path, advance: Progress) -> Manifest:
    """Return the manifest of an unchanged video; extract the frames of a new one."""
    known = Manifest.read(folder)
    if source.is_dir():
        found = _image_folder(video, source)
        if known is None:
            found.write(folder)
        elif (known.sha256, known.names) != (found.sha256, found.names):
            raise _changed(source, folder)
        return found
    if known is None:
        return extract(source, folder, video, progress=lambda: advance(video))
    if known.modified != source.stat().st_mtime_ns:
        if known.sha256 != file_hash(source):
            raise _changed(source, folder)
        known = replace(known, modified=source.stat().st_mtime_ns)
        known.write(folder)
    return known


def _changed(source: Path, folder: Path) -> SpotError:
    return SpotError(
        f"{source} is not what it was when its frames were extracted, and labels count those frames; put the old one "
        f"back, give the new one another name, or delete {folder} to extract it again"
    )


def _image_folder(video: str, source: Path) -> Manifest:
    frames = list_frames(str(source))
    names = [os.path.basename(frames.path(i)) for i in range(len(frames))]
    status = [os.stat(source / image) for image in names]
    listing = "".join(f"{image}\0{entry.st_size}\n" for image, entry in zip(names, status, strict=True))
    digest = hashlib.sha256(listing.encode()).hexdigest()
    first = read_frame(frames.path(0), "fast", crop_pixels=8, out_pixels=1)
    latest = max(entry.st_mtime_ns for entry in status)
    return Manifest(video, str(source), digest, latest, first.width, first.height, len(names), names=names)


def _deleted(home: Path, there: set[str]) -> dict[str, Manifest]:
    """Return the videos whose source is gone but whose extracted frames exist. They are used, with a warning."""
    kept = {}
    for folder in sorted(home.iterdir()) if home.is_dir() else ():
        if folder.name in there or folder.suffix == ".partial" or (manifest := Manifest.read(folder)) is None:
            continue
        if manifest.names is None:
            log.warning(
                "%s is missing; its extracted frames are used (delete %s to leave the video out)",
                manifest.source,
                folder,
            )
            kept[folder.name] = manifest
        else:
            log.warning(
                "%s is missing; the video %s is left out (restore the folder, or delete %s)",
                manifest.source,
                folder.name,
                folder,
            )
    return kept


def _video(name: str, frames: Frames, table: BoxTable) -> Video:
    """Return a video with the boxes of its first target."""
    boxes = np.full((len(frames), 4), np.nan, np.float32)
    rows = table.of_video(name)
    first = rows.take(rows.target == rows.target.min(initial=np.iinfo(np.int64).max))
    boxes[first.frame] = first.box
    return Video(name, frames, boxes, np.isfinite(boxes[:, 0]))


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    """Count extracted frames on a terminal, from the first frame on."""
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn, TimeElapsedColumn

    columns = (TextColumn("extracting {task.description}: {task.completed} frames"), TimeElapsedColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)

    def advance(video: str) -> None:
        bar.start()
        if bar.tasks[0].description != video:
            bar.reset(task, description=video, completed=0, total=None)
        bar.advance(task)

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
