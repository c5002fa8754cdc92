"""YOLO: `labels/<video>/<frame>.txt` with rows `class x y w h`, and `data.yaml`.

Centre and size are fractions of the image; class c is target c + 1. Ultralytics trains with these files if the images
are in `images/<video>/`; it refuses rows with a score, as its own predictions have. They can be read, but scores are
written to `flags.csv`, with all else that YOLO has no place for. A frame without a row is not annotated. The names of
classes may also be in `obj.names` (YOLO 1.1, as CVAT writes it) or `classes.txt`, a line each.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from spot.annotation.exchange.files import Files, write_small, write_text
from spot.annotation.exchange.rows import LABEL, Rows
from spot.annotation.exchange.video_info import Videos
from spot.data.box_table import BoxTable
from spot.runtime.errors import SpotError
from spot.runtime.yaml_files import refuse_bombs


def write(table: BoxTable, videos: Videos, folder: Path) -> list[Path]:
    """Write a text file for every frame that has a row, empty where all its targets are absent."""
    targets = sorted(set(table.target.tolist()))
    classes = {target: i for i, target in enumerate(targets)}
    files: dict[Path, list[str]] = {}
    for row in range(len(table)):
        info, frame = videos[str(table.video[row])], int(table.frame[row])
        lines = files.setdefault((folder / "labels" / info.image(frame)).with_suffix(".txt"), [])
        if not table.absent[row]:
            x, y, w, h = table.box[row].tolist()
            box = ((x + w / 2) / info.width, (y + h / 2) / info.height, w / info.width, h / info.height)
            lines.append(" ".join([str(classes[int(table.target[row])]), *(f"{v:.10f}" for v in box)]))
    written = [write_small(file, "".join(f"{line}\n" for line in lines)) for file, lines in files.items()]
    names = "".join(f"  {i}: {LABEL}{target}\n" for target, i in classes.items())
    written.append(write_text(folder / "data.yaml", f"train: images\nval: images\nnames:\n{names}"))
    return written


def read(rows: Rows) -> None:
    """Read label files. Without a file that names the classes, class c is target c + 1."""
    config, names = _names(rows.files)
    for name in rows.files.ending(".txt"):
        source = rows.files.place(name)
        if name == config or name.rpartition("/")[2] in _LISTS:
            continue
        text = rows.files.text(name)
        if not text.strip():
            continue
        video, frame = rows.frame_of(source.removesuffix(".txt"), source)
        info = rows.videos[video]
        for line_number, line in enumerate(text.splitlines(), 1):
            cells = line.split()
            if len(cells) not in (5, 6):
                raise SpotError(f"{source}: line {line_number} has {len(cells)} numbers instead of 5 or 6")
            kind = int(cells[0])
            if config is not None and kind not in names:
                raise SpotError(f"{source}: line {line_number} has class {kind}, which {config} does not name")
            target = rows.target(names.get(kind, f"{LABEL}{kind + 1}"), source)
            x, y, w, h = (float(cell) for cell in cells[1:5])
            box = [(x - w / 2) * info.width, (y - h / 2) * info.height, w * info.width, h * info.height]
            rows.add(video, target, frame, box, float(cells[5]) if cells[5:] else 1.0, not cells[5:])


_LISTS = ("train.txt", "val.txt", "valid.txt", "test.txt")  # of images, in YOLO 1.1
_CLASSES = ("data.yaml", "obj.names", "classes.txt")


def _names(files: Files) -> tuple[str | None, dict[int, str]]:
    """Return the file that names the classes, and the names; (None, {}) without one."""
    found = {name.rpartition("/")[2]: name for name in files.names}
    config = next((found[name] for name in _CLASSES if name in found), None)
    if config is None:
        return None, {}
    content = files.text(config)
    if not config.endswith(".yaml"):
        return config, dict(enumerate(line.strip() for line in content.splitlines() if line.strip()))
    refuse_bombs(content, files.place(config))
    listed = yaml.safe_load(content)["names"]
    pairs = enumerate(listed) if isinstance(listed, list) else listed.items()
    return config, {int(kind): str(label) for kind, label in pairs}
