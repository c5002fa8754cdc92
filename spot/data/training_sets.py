"""The training sets of a run and their key frames: read from a file, or drawn and written if there is no file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from spot.data.key_frame_sampling import sample_key_frames
from spot.data.key_frames import KeyFrames, all_frames, file_stem
from spot.data.video import VideoSet
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)


def key_frames_of(videos: VideoSet, labels: int, folder: str | Path, seed: int, file: str | None = None) -> KeyFrames:
    """Return the k key frames of each video of a set; of the user's own videos, every drawn box.

    Args:
        labels: k.
        folder: folder of the key-frame files; new draws are written there under the usual name.
        seed: seed of the draw, if there is no file yet.
        file: another file to read.

    Raises:
        SpotError: k < 1, or too large for every video; a file does not fit the videos.
    """
    if labels < 1:
        raise SpotError(f"labels={labels}: choose at least 1 labelled frame a video (published: 2, 3 or 5)")
    if file is None and (own := KeyFrames.of_hand_drawn(videos)) is not None:
        log.info("%s: %d hand-drawn boxes in %d videos", videos.name, own.boxes, len(own.targets))
        return own
    found = KeyFrames.read(file, videos) if file else KeyFrames.find(folder, videos, labels)
    if found is not None:
        log.info("%s: %d boxes in %d videos from %s", videos.name, found.boxes, len(found.targets), file or folder)
        return found
    path = Path(folder) / f"{file_stem(videos.name, videos.split, labels)}.json"
    drawn = sample_key_frames(videos, labels, seed)
    if not drawn.targets:
        raise SpotError(
            f"labels={labels}: no video of {videos.name} has so many visible frames "
            f"(the longest has {int(videos.lengths.max())} frames); choose fewer"
        )
    drawn.write(path)
    log.info("%s: drew %d boxes in %d videos into %s", videos.name, drawn.boxes, len(drawn.targets), path)
    return drawn


def labelled_sets(
    sets: Sequence[VideoSet],
    key_frames: str,
    labels: int,
    folder: str | Path,
    seed: int,
    files: Sequence[str | None] | None = None,
) -> list[KeyFrames]:
    """Return key frames of every set.

    Args:
        key_frames: "sampled" or "all" (every visible frame, the fully supervised baseline).
        files: for each set a key-frame file, or None for the usual one; None for the usual ones of all sets; see `key_frames_of`.
    """
    if key_frames == "all":
        return [all_frames(videos) for videos in sets]
    if key_frames != "sampled":
        raise SpotError(f"supervision.key_frames={key_frames}: choose sampled or all")
    named = list(files or [None] * len(sets))
    return [key_frames_of(videos, labels, folder, seed, file) for videos, file in zip(sets, named, strict=True)]
