"""MOTChallenge: `<video>/gt/gt.txt` and `<video>/seqinfo.ini`.

A row is `frame,id,x,y,w,h,confidence,class,visibility`; frames and ids count from 1. Boxes are written as they are: CVAT
and datumaro do not shift them by a pixel either. Nothing is interpolated: give a row for every frame. What MOT has no
place for (absence, score of a human's box) is in `flags.csv`.
"""

from __future__ import annotations

import configparser
import io
from pathlib import Path

from spot.annotation.exchange.files import whole, write_text
from spot.annotation.exchange.rows import Rows
from spot.annotation.exchange.video_info import Videos
from spot.data.box_table import BoxTable, number
from spot.runtime.errors import SpotError


def write(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write a folder a video."""
    written = []
    for video in dict.fromkeys(table.video.tolist()):
        rows, info = table.of_video(video), videos[video]
        rows = rows.take(~rows.absent)
        lines = [
            f"{frame + 1},{target},{','.join(number(v) for v in box)},{number(score)},1,1\n"
            for frame, target, box, score in zip(
                rows.frame.tolist(), rows.target.tolist(), rows.box.tolist(), rows.score.tolist(), strict=True
            )
        ]
        written.append(write_text(folder / video / "gt/gt.txt", "".join(lines)))
        written.append(write_text(folder / video / "gt/labels.txt", "target\n"))
        seconds = info.time(info.frames - 1) - info.time(0)
        rate = (info.frames - 1) / seconds if seconds > 0 else 25
        config = configparser.ConfigParser(interpolation=None)
        config.optionxform = str  # type: ignore[assignment,method-assign]
        config["Sequence"] = {
            "name": video,
            "imDir": "img1",
            "frameRate": number(rate, 3),
            "seqLength": str(info.frames),
            "imWidth": str(info.width),
            "imHeight": str(info.height),
            "imExt": Path(info.image(0)).suffix,
        }
        text = io.StringIO()
        config.write(text, space_around_delimiters=False)
        written.append(write_text(folder / video / "seqinfo.ini", text.getvalue()))
    return written


def read(rows: Rows) -> None:
    """Read `<video>/gt/gt.txt` files, or one file where there is one video; ids are the numbers of the targets."""
    for name in [n for n in rows.files.ending(".txt") if not n or n.rpartition("/")[2] == "gt.txt"]:
        source = rows.files.place(name)
        parts = [part for part in source.split("/")[:-1] if part in rows.videos]
        video = parts[-1] if parts else _only(rows, source)
        for line_number, line in enumerate(rows.files.text(name).splitlines(), 1):
            if not line.strip():
                continue
            values = [float(cell) for cell in line.split(",")]
            if len(values) < 6 or values[4] <= 0 or values[5] <= 0 or values[0] < 1:
                raise SpotError(f"{source}: line {line_number} is not frame,id,x,y,w,h with w and h above 0")
            score = values[6] if len(values) > 6 and 0 < values[6] <= 1 else 1.0
            rows.add(video, whole(values[1]), whole(values[0]) - 1, values[2:6], score)


def _only(rows: Rows, source: str) -> str:
    if len(rows.videos) > 1:
        folder = Path(source).parent
        video = folder.parent.name if folder.name == "gt" else folder.name
        rows.video(video, source)
    return next(iter(rows.videos))
