"""COCO for videos: one JSON file with `videos`, `images` (`video_id`, `frame_id`) and `annotations` (`track_id`).

Our own fields: `instance_id` is the number of the target, `is_gt` says that a human drew the box, `score`; an image
lists the targets that are `absent`. Boxes are xywh in pixels, ids count from 1, `frame_id` from 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spot.annotation.exchange.files import whole, write_text
from spot.annotation.exchange.rows import LABEL, Rows
from spot.annotation.exchange.video_info import Videos
from spot.data.box_table import BoxTable
from spot.runtime.errors import SpotError


def write(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write `annotations.json`: every frame that has a row."""
    video_ids = {name: i for i, name in enumerate(dict.fromkeys(table.video.tolist()), 1)}
    track_ids = {key: i for i, key in enumerate(table.targets, 1)}
    categories = {target: i for i, target in enumerate(sorted(set(table.target.tolist())), 1)}
    images: dict[tuple[str, int], dict[str, Any]] = {}
    boxes: list[dict[str, Any]] = []
    for row in range(len(table)):
        video, target, frame = str(table.video[row]), int(table.target[row]), int(table.frame[row])
        info = videos[video]
        image = images.setdefault(
            (video, frame),
            {
                "id": len(images) + 1,
                "file_name": info.image(frame),
                "width": info.width,
                "height": info.height,
                "video_id": video_ids[video],
                "frame_id": frame,
            },
        )
        flags = {"is_gt": bool(table.is_gt[row]), "score": float(table.score[row])}
        if table.absent[row]:
            image.setdefault("absent", []).append({"instance_id": target, **flags})
            continue
        box = table.box[row].tolist()
        place = {"id": len(boxes) + 1, "image_id": image["id"], "video_id": video_ids[video]}
        who = {"category_id": categories[target], "track_id": track_ids[video, target], "instance_id": target}
        boxes.append(place | who | {"bbox": box, "area": box[2] * box[3], "iscrowd": 0} | flags)
    content = {
        "videos": [
            {"id": i, "name": name, "width": videos[name].width, "height": videos[name].height}
            for name, i in video_ids.items()
        ],
        "images": list(images.values()),
        "annotations": boxes,
        "categories": [{"id": i, "name": f"{LABEL}{target}"} for target, i in categories.items()],
    }
    return [write_text(folder / "annotations.json", json.dumps(content, ensure_ascii=False))]


def read(rows: Rows) -> None:
    """Read COCO files. A target is the `instance_id`, or else what its category's name means."""
    for name in rows.files.ending(".json"):
        source = rows.files.place(name)
        content = rows.files.json(name)
        categories = {category["id"]: str(category["name"]) for category in content["categories"]}
        frames = {}
        for image in content["images"]:
            if image["id"] in frames:
                raise SpotError(f"{source}: two images have the id {image['id']}; give each its own")
            frames[image["id"]] = video, frame = rows.frame_of(str(image["file_name"]), source)
            for gone in image.get("absent", ()):
                rows.add(video, whole(gone["instance_id"]), frame, None, float(gone["score"]), bool(gone["is_gt"]))
        for box in content["annotations"]:
            if box["image_id"] not in frames:
                raise SpotError(f"{source}: annotation {box.get('id')} names image {box['image_id']}, which is missing")
            target = box.get("instance_id")
            if target is None:
                target = rows.target(categories[box["category_id"]], source)
            score, is_gt = float(box.get("score", 1)), bool(box.get("is_gt", True))
            video, frame = frames[box["image_id"]]
            rows.add(video, whole(target), frame, [float(v) for v in box["bbox"]], score, is_gt)
