"""Extract the frames of a video file into JPEG files with a manifest.

    <folder>/manifest.json      see `Manifest`
            /000000.jpg ...     quality 95; the number is the frame's index in the manifest

Frames are written into `<folder>.partial`, which is renamed at the end, so that a folder is complete or absent. After an
interruption the video is decoded again from its start, and frames that are there already are not encoded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import simplejpeg

from spot.data.video import Frames
from spot.data.video_files import BrokenTail, DecodedFrame, decode_video
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError

QUALITY = 95
FORMAT = 1
_NAME = "{:06d}.jpg"
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True)
class Manifest:
    """The frames of one of the user's videos. The number of a frame is its position here, from 0.

    Attributes:
        video: name of the video.
        source: absolute path of the video file, or of the folder of images.
        sha256: of the file's content; for a folder, of its images' names and sizes in bytes.
        modified: time of the source's last change in ns; for a folder, of the latest change of an image.
        width, height: size of all frames in pixels, after rotation.
        count: number of frames.
        times: presentation time of each frame in seconds; None for a folder of images.
        names: file names of the frames in `source`; None for a video file, whose frames lie beside the manifest.
        note: what was wrong, for example that the file is truncated; else "".
    """

    video: str
    source: str
    sha256: str
    modified: int
    width: int
    height: int
    count: int
    times: list[float | None] | None = None
    names: list[str] | None = None
    note: str = ""
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """Read the manifest of a folder; None where there is none. Raise SpotError for a broken one."""
        file = folder / "manifest.json"
        try:
            manifest = cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SpotError(f"{file}: {error.strerror}; check its permissions") from None
        except (ValueError, TypeError):
            manifest = None
        if manifest is None or manifest.format != FORMAT:
            raise SpotError(f"{file}: not a manifest of this version; delete {folder} to extract the frames again")
        return manifest

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into a folder atomically."""
        with replacing(folder / "manifest.json", "choose another paths.frames=") as aside:
            aside.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    def frames(self, folder: Path) -> Frames:
        """Return where the frames lie, if the manifest lies in `folder`."""
        if self.names is not None:
            return Frames(self.source, self.count, names=self.names)
        return Frames(str(folder), self.count, _NAME, 0)


def file_hash(file: Path) -> str:
    """Return SHA-256 of a file's content in hexadecimal digits."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def extract(source: Path, folder: Path, video: str, progress: Callable[[], object] = lambda: None) -> Manifest:
    """Extract all frames of a video file into `folder`.

    Args:
        source: the video file.
        folder: appears when the last frame is written.
        video: name for the manifest.
        progress: called for each frame.

    Raises:
        SpotError: not a video, no frames, frames of several sizes, or the folder cannot be written.
    """
    digest, status = file_hash(source), source.stat()
    partial = folder.with_name(f"{folder.name}.partial")
    times: list[float | None] = []
    size: tuple[int, int] | None = None
    note = ""
    try:
        _begin(partial, digest)
        pending: deque[Future[None]] = deque()
        workers = min(8, os.cpu_count() or 1)  # threads that encode
        with ThreadPoolExecutor(workers) as pool:
            try:
                for frame in decode_video(source):
                    size = size or (frame.width, frame.height)
                    if (frame.width, frame.height) != size:
                        raise SpotError(
                            f"{source}: frame {len(times)} has {frame.width} x {frame.height} pixels, the frames before "
                            f"it {size[0]} x {size[1]}; cut the file there, or scale it to one size with ffmpeg"
                        )
                    pending.append(pool.submit(_encode, frame, partial / _NAME.format(len(times))))
                    times.append(frame.time)
                    if len(pending) > 4 * workers:  # decoded frames wait in memory: only a few of them
                        pending.popleft().result()
                    progress()
            except BrokenTail as error:
                note = str(error)
            for future in pending:
                future.result()
        assert size is not None  # decode_video raises where there is no frame
        manifest = Manifest(video, str(source), digest, status.st_mtime_ns, *size, len(times), times, note=note)
        manifest.write(partial)
        (partial / "source").unlink()
        partial.rename(folder)
    except OSError as error:
        raise SpotError(f"{error.filename or partial}: {error.strerror}; choose another paths.frames=") from None
    return manifest


def _begin(partial: Path, digest: str) -> None:
    """Make the folder for the frames, or take up one that belongs to the same content."""
    note = partial / "source"
    if partial.exists() and not (note.is_file() and note.read_text() == digest):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    note.write_text(digest)


def _encode(frame: DecodedFrame, file: Path) -> None:
    if _is_whole(file):
        return
    data = simplejpeg.encode_jpeg(frame.pixels(), QUALITY, "RGB", "420")
    aside = file.with_suffix(".tmp")
    aside.write_bytes(data)
    aside.replace(file)


def _is_whole(file: Path) -> bool:
    """Return whether the file is there and ends as a JPEG does: after a power cut it may be empty or cut short."""
    try:
        with open(file, "rb") as data:
            data.seek(-2, os.SEEK_END)
            return data.read() == _END_OF_IMAGE
    except OSError:
        return False
