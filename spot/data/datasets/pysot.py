"""Benchmarks as the pysot toolkit describes them: one JSON file with frames, boxes and attributes of every video.

`{NAME: {"video_dir", "init_rect", "img_names": [path, ...], "gt_rect": [[x, y, w, h] or 8 corners, ...],
"attr": [...], "absent": [1 where present, ...], "camera_motion": [...], ...}}`; all but the first four are optional.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np

from spot.data.annotations import drawable, first_frame_alone, fit_rows
from spot.data.folders import locate, name_frames
from spot.data.polygons import enclosing_boxes, is_polygon
from spot.data.video import Frames, Video, VideoSet
from spot.runtime.errors import SpotError
from spot.runtime.value_types import is_name

TAGS = ("camera_motion", "illum_change", "motion_change", "size_change", "occlusion")


def load(name: str, root: str, annotations: str, homes: Sequence[str] = ("",)) -> VideoSet:
    """Open a benchmark from its JSON file.

    Args:
        name: of the set.
        root: folder of the data set.
        annotations: the JSON file.
        homes: where the file's `img_names` may start under the root, in order of preference; `{category}` stands for
            the video's name up to its last hyphen.

    Raises:
        SpotError: the file is missing or of another kind, or a video has as many boxes as no frames.
    """
    try:
        with open(annotations, encoding="utf-8-sig") as file:
            content = json.load(file)
        if not content.items():
            raise SpotError("describes no video; get the file again")
        return VideoSet.from_videos(name, [_video(root, homes, n, v) for n, v in content.items()], "test")
    except OSError as error:
        raise SpotError(f"{annotations}: {error.strerror}; correct benchmark.annotations") from None
    except SpotError as error:
        raise SpotError(f"{annotations}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise SpotError(
            f"{annotations}: not an annotation file of the pysot toolkit ({type(error).__name__}: {error})"
        ) from None


def _video(root: str, homes: Sequence[str], name: str, entry: dict) -> Video:
    if "/" in name or not is_name(name):
        raise SpotError(f"{name!r} is no name of a video; get the file again")
    rows = [row if len(row) > 1 else [np.nan] * 4 for row in entry["gt_rect"]]
    with np.errstate(over="ignore"):
        truth = np.array(rows, np.float32)
    truth[np.isinf(truth)] = np.nan
    polygons = truth if is_polygon(truth) else None
    boxes = truth if polygons is None else enclosing_boxes(polygons)
    frames = _frames(root, homes, name, entry["img_names"])
    boxes = first_frame_alone(boxes, len(frames))
    if len(boxes) != len(frames):
        raise SpotError(f"{name} has {len(boxes)} boxes for {len(frames)} frames; get the file again")
    visible = drawable(boxes)
    if entry.get("absent"):
        visible &= fit_rows(np.array(entry["absent"], np.int64), len(frames), f"{name}: absent") == 1
    tags = {tag: fit_tag(entry[tag], len(frames)) for tag in TAGS if tag in entry}
    return Video(name, frames, boxes, visible, tuple(entry.get("attr") or ()), polygons, tags)


def fit_tag(flags: Sequence[float], frames: int) -> np.ndarray:
    """Return (frames,) bool from a list of flags. The list may be shorter than the video: later frames have no tag."""
    tag = np.zeros(frames, bool)
    tag[: len(flags)] = np.asarray(flags[:frames], float) > 0
    return tag


def _frames(root: str, homes: Sequence[str], name: str, paths: Sequence[str]) -> Frames:
    folder = os.path.dirname(paths[0])
    if ".." in folder.split("/"):
        raise SpotError(f"{name}: {paths[0]} leads out of the data set; get the file again")
    if any(os.path.dirname(path) != folder for path in paths):
        raise SpotError(f"{name}: its frames lie in several folders; get the file again")
    starts = [home.format(category=name.rpartition("-")[0]) + folder for home in homes]
    places = [locate(root, start) for start in starts]
    place = next((p for p in places if os.path.exists(p.partition("!")[0])), places[0])
    return name_frames(place, [os.path.basename(path) for path in paths])
