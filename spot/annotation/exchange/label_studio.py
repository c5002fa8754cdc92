"""Label Studio, JSON of image tasks and of video tasks ("videorectangle").

Boxes are in percent of the image, frames count from 1. A box of a video's track with `enabled: false` is the last one
before a gap. Boxes that no human drew are predictions, with a score.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spot.annotation.exchange.files import Files, whole, write_text
from spot.annotation.exchange.interpolation import Event, add_events, events_of
from spot.annotation.exchange.rows import LABEL, Rows
from spot.annotation.exchange.video_info import VideoInfo, Videos
from spot.data.box_table import DECIMALS, BoxTable

IMAGE_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="label" toName="image">{labels}</RectangleLabels>
  <Choices name="absent" toName="image" choice="multiple">{choices}</Choices>
</View>
"""
VIDEO_CONFIG = """<View>
  <Labels name="label" toName="video">{labels}</Labels>
  <Video name="video" value="$video"/>
  <VideoRectangle name="box" toName="video"/>
</View>
"""


def write_images(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write `tasks.json`, a task for every frame that has a row, and `config.xml`, the labelling interface."""
    tasks: dict[tuple[str, int], dict[str, Any]] = {}
    for row in range(len(table)):
        video, frame, target = str(table.video[row]), int(table.frame[row]), int(table.target[row])
        info = videos[video]
        image = info.image(frame)
        task = tasks.setdefault((video, frame), {"data": {"image": f"/data/local-files/?d={image}"}})
        result: dict[str, Any] = {"id": f"{video}-{frame}-{target}", "to_name": "image"}
        if table.absent[row]:
            value: dict[str, Any] = {"choices": [f"{LABEL}{target}"]}
            result |= {"type": "choices", "from_name": "absent", "value": value}
        else:
            value = _percent(table.box[row].tolist(), info) | {"rotation": 0, "rectanglelabels": [f"{LABEL}{target}"]}
            result |= {"type": "rectanglelabels", "from_name": "label", "value": value, "image_rotation": 0}
        result |= {"original_width": info.width, "original_height": info.height}
        if not table.is_gt[row]:
            result["score"] = float(table.score[row])
        kind = "annotations" if table.is_gt[row] else "predictions"
        task.setdefault(kind, [{"result": []}])[0]["result"].append(result)
    return _write(list(tasks.values()), table, folder, IMAGE_CONFIG)


def read_images(rows: Rows) -> None:
    """Read exported image tasks."""
    for source, data, result, is_gt in _results(rows.files):
        video, frame = rows.frame_of(str(data.get("image", "")), source)
        value = result["value"]
        score = float(result.get("score") or 1)
        for label in value.get("rectanglelabels", ()):
            box = _pixels(value, rows.videos[video])
            rows.add(video, rows.target(label, source), frame, box, score, is_gt)
        if result.get("from_name") == "absent":
            for label in value.get("choices", ()):
                rows.add(video, rows.target(label, source), frame, None, score, is_gt)


def write_videos(table: BoxTable, videos: Videos, folder: Path, min_iou: float = 0.95) -> list[Path]:
    """Write `tasks.json`, a task a video with few keyframes a track, and `config.xml`, the labelling interface."""
    tasks = []
    for video in dict.fromkeys(table.video.tolist()):
        rows, info = table.of_video(video), videos[video]
        results = []
        for target in sorted(set(rows.target.tolist())):
            events = events_of(rows.take(rows.target == target), info.frames, min_iou)
            value = {
                "framesCount": info.frames,
                "duration": info.time(info.frames - 1),
                "sequence": _sequence(events, info),
                "labels": [f"{LABEL}{target}"],
            }
            absent = [[e.frame, e.score, e.is_gt, e.ends] for e in events if e.box is None]
            results.append(
                {
                    "id": f"{video}-{target}",
                    "type": "videorectangle",
                    "from_name": "box",
                    "to_name": "video",
                    "value": value,
                    "meta": {"spot_gaps": absent},
                }
            )
        tasks.append({"data": {"video": video}, "annotations": [{"result": results}]})
    return _write(tasks, table, folder, VIDEO_CONFIG)


def read_videos(rows: Rows, dense: bool = False) -> None:
    """Read exported video tasks."""
    for source, data, result, is_gt in _results(rows.files):
        if result.get("type") != "videorectangle":
            continue
        named = Path(str(data.get("video", ""))).name
        video = named if named in rows.videos else named.rpartition(".")[0] or named
        info = rows.video(video, source)
        value = result["value"]
        ours = (result.get("meta") or {}).get("spot_gaps")
        events = []
        for item in value["sequence"]:
            frame = whole(item["frame"]) - 1
            events.append(Event(frame, _pixels(item, info), float(item.get("score", 1)), item.get("is_gt", is_gt)))
            if ours is None and item.get("enabled") is False and frame + 1 < info.frames:
                events.append(Event(frame + 1, None, 1.0, is_gt))
        events += [Event(int(f), None, float(score), bool(human), bool(ends)) for f, score, human, ends in ours or ()]
        add_events(rows, video, rows.target(_single(value["labels"]), source), events, dense)


def _sequence(events: list[Event], info: VideoInfo) -> list[dict[str, Any]]:
    items = []
    for event, following in zip(events, [*events[1:], None], strict=True):
        if event.box is not None:
            enabled = following is None or following.box is not None
            place = {"frame": event.frame + 1, "enabled": enabled, "rotation": 0, "time": info.time(event.frame)}
            items.append(place | _percent(event.box, info) | {"score": event.score, "is_gt": event.is_gt})
    return items


def _write(tasks: list, table: BoxTable, folder: Path, config: str) -> list[Path]:
    names = [f"{LABEL}{target}" for target in sorted(set(table.target.tolist()))]
    labels = "".join(f'<Label value="{name}"/>' for name in names)
    choices = "".join(f'<Choice value="{name}"/>' for name in names)
    return [
        write_text(folder / "tasks.json", json.dumps(tasks, indent=1, ensure_ascii=False)),
        write_text(folder / "config.xml", config.format(labels=labels, choices=choices)),
    ]


def _results(files: Files) -> Iterator[tuple[str, dict, dict, bool]]:
    """Yield (source, data of the task, result, whether a human made it) of all tasks."""
    for name in files.ending(".json"):
        for task in files.json(name):
            for kind in ("annotations", "predictions"):
                for made in task.get(kind) or ():
                    # an export has predictions as their numbers alone; a cancelled annotation is a skipped task
                    if isinstance(made, int) or made.get("was_cancelled"):
                        continue
                    for result in made.get("result") or ():
                        yield files.place(name), task["data"], result, kind == "annotations"


def _single(labels: list) -> str:
    if len(labels) != 1:
        raise ValueError(f"{labels} where one label is expected")
    return str(labels[0])


def _percent(box: list[float], info: VideoInfo) -> dict[str, float]:
    x, y, w, h = box
    return {
        "x": 100 * x / info.width,
        "y": 100 * y / info.height,
        "width": 100 * w / info.width,
        "height": 100 * h / info.height,
    }


def _pixels(value: dict, info: VideoInfo) -> list[float]:
    if float(value.get("rotation") or 0):
        raise ValueError(f"a box is rotated, which is not supported; draw it upright: {value}")
    sides = ("x", info.width), ("y", info.height), ("width", info.width), ("height", info.height)
    return [round(float(value[side]) * whole / 100, DECIMALS) for side, whole in sides]
