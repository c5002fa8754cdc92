"""CVAT, "CVAT for images 1.1" and "CVAT for video 1.1".

Images: one file for all videos; a task is made from the frames that are named in it (`clip/000012.jpg`). Video: a file a
video; CVAT leaves out boxes with keyframe="0", ends a track at a box with outside="1", and counts frames as the source
does, whatever the task's start and step. A box of source="auto" is not a human's; the attribute `score` goes with it.
CVAT itself calls every box that it has read "file" until somebody changes it: then "manual".

CVAT keeps only attributes that its labels have, so `labels.json` is written too, for the "Raw" tab where a task's labels
are set up.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from spot.annotation.exchange.files import Files, write_text
from spot.annotation.exchange.interpolation import Event, add_events, events_of
from spot.annotation.exchange.rows import LABEL, Rows
from spot.annotation.exchange.video_info import Videos
from spot.data.box_table import BoxTable, number
from spot.runtime.errors import SpotError

_ATTRIBUTES = ("score", "absent", "is_gt", "ends")


def write_images(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write `annotations.xml` and `labels.json`: every frame that has a row, with its boxes; an absence is a tag."""
    root = _root(table)
    previous = None
    for row in _by_frame(table):
        video, frame = str(table.video[row]), int(table.frame[row])
        if (video, frame) != previous:
            info, previous = videos[video], (video, frame)
            image = ET.SubElement(
                root,
                "image",
                id=str(len(root) - 2),
                name=info.image(frame),
                width=str(info.width),
                height=str(info.height),
            )
        common = {"label": f"{LABEL}{table.target[row]}", "source": "manual" if table.is_gt[row] else "auto"}
        if table.absent[row]:
            shape = ET.SubElement(image, "tag", common)
            _attribute(shape, "absent", "true")
        else:
            shape = ET.SubElement(
                image, "box", common | {"occluded": "0"} | _corners(table.box[row]) | {"z_order": "0"}
            )
        if table.score[row] != 1:
            _attribute(shape, "score", number(float(table.score[row])))
    return [write_text(folder / "annotations.xml", _text(root)), _write_labels(table, folder)]


def read_images(rows: Rows) -> None:
    """Read an XML file, or the zip that CVAT exports."""
    for name in rows.files.ending(".xml"):
        source = rows.files.place(name)
        for image in _parse(rows.files, name).iter("image"):
            video, frame = rows.frame_of(image.get("name", ""), source)
            for shape in [*image.iter("box"), *image.iter("tag")]:
                given = _attributes(shape)
                if shape.tag == "tag" and given.get("absent") != "true":
                    continue
                box = None if shape.tag == "tag" else _box(shape, source)
                target = rows.target(shape.get("label", ""), source)
                rows.add(video, target, frame, box, _score(given, source), _is_human(shape, given))


def write_videos(table: BoxTable, videos: Videos, folder: Path, min_iou: float = 0.95) -> list[Path]:
    """Write `labels.json`, and `<video>.xml` for each video of the table, with few keyframes a track."""
    written = [_write_labels(table, folder)]
    for video in dict.fromkeys(table.video.tolist()):
        rows, info = table.of_video(video), videos[video]
        root = _root(rows, video, info.frames, (info.width, info.height))
        for track_id, target in enumerate(_targets(rows)):
            track = ET.SubElement(root, "track", id=str(track_id), label=f"{LABEL}{target}", source="manual")
            last = [0.0, 0.0, 1.0, 1.0]
            for event in events_of(rows.take(rows.target == target), info.frames, min_iou):
                last = event.box or last
                outside = str(int(event.box is None))
                place = {"frame": str(event.frame), "keyframe": "1", "outside": outside, "occluded": "0"}
                shape = ET.SubElement(track, "box", place | _corners(last) | {"z_order": "0"})
                _attribute(shape, "is_gt", str(event.is_gt and not event.ends).lower())
                _attribute(shape, "ends", str(event.ends).lower())
                _attribute(shape, "score", number(event.score))
        written.append(write_text(folder / f"{video}.xml", _text(root)))
    return written


def read_videos(rows: Rows, dense: bool = False) -> None:
    """Read XML files, each of one video: the one named in its task, or in its file's name."""
    for name in rows.files.ending(".xml"):
        source = rows.files.place(name)
        root = _parse(rows.files, name)
        video = _video_of(root, name or rows.files.path.name, rows, source)
        for track in root.iter("track"):
            target = rows.target(track.get("label", ""), source)
            events = []
            for shape in track.iter("box"):
                if shape.get("keyframe", "1") != "1":
                    continue
                given = _attributes(shape)
                frame = _integer(shape.get("frame"), source)
                box = None if shape.get("outside") == "1" else _box(shape, source)
                is_gt = given.get("is_gt", "true") != "false"
                events.append(Event(frame, box, _score(given, source), is_gt, given.get("ends") == "true"))
            add_events(rows, video, target, events, dense)


def _video_of(root: ET.Element, file: str, rows: Rows, source: str) -> str:
    videos = rows.videos
    named = [root.findtext(path) for path in ("meta/task/name", "meta/source", "meta/job/name")]
    candidates = [Path(name).name for name in [*named, file] if name]
    stems = [stem for name in candidates for stem in (name, name.rpartition(".")[0])]
    if len(videos) == 1 and not any(stem in videos for stem in stems):
        return next(iter(videos))
    found = next((stem for stem in stems if stem in videos), candidates[0])
    rows.video(found, source)
    return found


def _write_labels(table: BoxTable, folder: Path) -> Path:
    """Write the labels of a task with their attributes, as CVAT's page takes them."""
    attributes = [{"name": name, "input_type": "text", "mutable": True, "values": [""]} for name in _ATTRIBUTES]
    labels = [{"name": f"{LABEL}{target}", "attributes": attributes} for target in _targets(table)]
    return write_text(folder / "labels.json", json.dumps(labels, indent=1) + "\n")


def _targets(table: BoxTable) -> list[int]:
    return sorted(set(table.target.tolist()))


def _root(table: BoxTable, name: str = "", frames: int = 0, size: tuple[int, int] | None = None) -> ET.Element:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    if name:
        ET.SubElement(task, "name").text = name
        ET.SubElement(task, "size").text = str(frames)
        ET.SubElement(task, "mode").text = "interpolation"
        ET.SubElement(task, "start_frame").text = "0"
        ET.SubElement(task, "stop_frame").text = str(frames - 1)
    labels = ET.SubElement(task, "labels")
    for target in _targets(table):
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = f"{LABEL}{target}"
        attributes = ET.SubElement(label, "attributes")
        for attribute in _ATTRIBUTES:
            spec = ET.SubElement(attributes, "attribute")
            values = {"name": attribute, "mutable": "True", "input_type": "text", "default_value": "", "values": ""}
            for key, value in values.items():
                ET.SubElement(spec, key).text = value
    if size:
        original = ET.SubElement(task, "original_size")
        ET.SubElement(original, "width").text, ET.SubElement(original, "height").text = map(str, size)
    return root


def _by_frame(table: BoxTable) -> list[int]:
    return np.lexsort((table.target, table.frame, table.video)).tolist()


def _corners(box: object) -> dict[str, str]:
    x, y, w, h = (float(value) for value in box)  # type: ignore[attr-defined]
    return {"xtl": number(x), "ytl": number(y), "xbr": number(x + w), "ybr": number(y + h)}


def _box(shape: ET.Element, source: str) -> list[float]:
    try:
        left, top, right, bottom = (float(shape.get(side, "")) for side in ("xtl", "ytl", "xbr", "ybr"))
    except ValueError:
        raise SpotError(f"{source}: a box has a coordinate that is not a number: {dict(shape.attrib)}") from None
    if not (right > left and bottom > top):
        raise SpotError(f"{source}: a box has no area: {dict(shape.attrib)}")
    if shape.get("rotation", "0").strip("0."):
        raise SpotError(f"{source}: a box is rotated, which is not supported; draw it upright: {dict(shape.attrib)}")
    return [left, top, right - left, bottom - top]


def _attribute(shape: ET.Element, name: str, value: str) -> None:
    ET.SubElement(shape, "attribute", name=name).text = value


def _attributes(shape: ET.Element) -> dict[str, str]:
    return {a.get("name", ""): (a.text or "").strip() for a in shape.iter("attribute")}


def _is_human(shape: ET.Element, given: dict[str, str]) -> bool:
    """Return whether somebody drew or changed a box or tag with these attributes."""
    source = shape.get("source", "manual")
    unchanged_prediction = source == "file" and bool(given.get("score"))
    return not unchanged_prediction and source not in ("auto", "automatic")


def _score(given: dict[str, str], source: str) -> float:
    try:
        return float(given.get("score") or 1)
    except ValueError:
        raise SpotError(f"{source}: score {given['score']!r} is not a number") from None


def _integer(value: str | None, source: str) -> int:
    try:
        return int(value or "")
    except ValueError:
        raise SpotError(f"{source}: frame {value!r} is not a number") from None


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _parse(files: Files, name: str) -> ET.Element:
    """Parse XML; document types and entities are refused, as they can read files or fill the memory."""
    import defusedxml
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(files.read(name), forbid_dtd=True)
    except defusedxml.DefusedXmlException:
        raise SpotError(f"{files.place(name)}: XML with a document type or entities is refused") from None
    except (ET.ParseError, ValueError) as error:
        raise SpotError(f"{files.place(name)}: not an XML file ({error})") from None
