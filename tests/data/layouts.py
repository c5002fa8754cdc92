"""Writers of tiny data sets, each in the layout of the real one. Frames are 64 x 48; every writer returns the truth."""

from __future__ import annotations

import functools
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48
GroundTruth = dict[str, np.ndarray]  # name -> (n, 4) boxes xywh as they stand in the annotation


@functools.cache
def jpeg(level: int = 128) -> bytes:
    """An encoded grey frame."""
    return cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), level, np.uint8))[1].tobytes()


def boxes(name: str, frames: int) -> np.ndarray:
    """(frames, 4) whole boxes inside the frame that differ from video to video."""
    rng = np.random.default_rng(list(name.encode()))
    return np.stack([rng.integers(1, 40, frames), rng.integers(1, 28, frames), *rng.integers(5, 20, (2, frames))], 1)


def table(rows: np.ndarray, separator: str = ",", end: str = "\n") -> str:
    return "".join(separator.join(f"{x:g}" for x in row) + end for row in np.asarray(rows))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_frames(folder: Path, count: int, pattern: str = "{:08d}.jpg", first: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        (folder / pattern.format(i)).write_bytes(jpeg())


def write_folder(root: Path, names: Sequence[str] = ("b", "a"), frames: int = 6, lists: bool = True) -> GroundTruth:
    """The GOT-10k layout without its names; the target of each video is absent in frame 2 and covered in frame 3."""
    truth = {name: boxes(name, frames) for name in names}
    for name, rows in truth.items():
        write_frames(root / name, frames)
        write_text(root / name / "groundtruth.txt", table(rows))
        write_text(root / name / "absence.label", "".join(f"{int(i == 2)}\n" for i in range(frames)))
        write_text(root / name / "cover.label", "".join(f"{0 if i == 3 else 8}\n" for i in range(frames)))
    if lists:
        write_text(root / "list.txt", "\n".join(names))
    return truth


def write_got10k(root: Path, videos: int = 3, frames: int = 6) -> GroundTruth:
    """Training, validation and test videos; those of the test set have one row."""
    truth = {}
    for split in ("train", "val", "test"):
        names = [f"GOT-10k_{split.capitalize()}_{i:06d}" for i in range(1, videos + 1)]
        truth |= write_folder(root / split, names, frames)
        if split == "test":
            for name in names:
                write_text(root / split / name / "groundtruth.txt", table(truth[name][:1]))
                (root / split / name / "absence.label").unlink()
                (root / split / name / "cover.label").unlink()
    return truth


def write_lasot(
    root: Path, train: Sequence[str] = ("bird-2", "airplane-10"), test: Sequence[str] = ("airplane-1",), frames: int = 8
) -> GroundTruth:
    """Flags in one line; the target is occluded in frame 1, out of view in frame 2, and has no size in frame 3."""
    truth = {name: boxes(name, frames) for name in [*train, *test]}
    for name, rows in truth.items():
        home = root / name.partition("-")[0] / name
        rows[3, 2:] = 0
        write_frames(home / "img", frames)
        write_text(home / "groundtruth.txt", table(rows))
        for flag, at in (("full_occlusion", 1), ("out_of_view", 2)):
            write_text(home / f"{flag}.txt", ",".join(str(int(i == at)) for i in range(frames)))
    write_text(root / "training_set.txt", "\n".join(train) + "\n")
    write_text(root / "testing_set.txt", "\r\n".join(test) + "\r\n")
    for name in test:
        write_text(root / "attributes" / f"{name}.txt", ",".join("1" if i in (0, 13) else "0" for i in range(14)))
    return truth


def write_trackingnet(root: Path, sets: Sequence[int] = (0, 1), videos: int = 2, frames: int = 61) -> GroundTruth:
    """Boxes that a human drew, in every 30th frame, are whole numbers; the test set has one row a video."""
    truth = {}
    for folder in [*(f"TRAIN_{s}" for s in sets), "TEST"]:
        for v in range(videos):
            video = f"{folder.lower()}-vid_{v}"
            rows = boxes(video, frames).astype(float)
            rows[np.arange(frames) % 30 != 0] += 0.25
            is_test = folder == "TEST"
            truth[video if is_test else f"TrackingNet_{int(folder[6:]):02d}_{video}"] = rows
            write_text(root / folder / "anno" / f"{video}.txt", table(rows[: 1 if is_test else None]))
            write_frames(root / folder / "frames" / video, frames, "{}.jpg", 0)
    return truth


def write_otb(root: Path, sequences: dict[str, tuple[int, int]] | None = None) -> GroundTruth:
    """All of OTB100's folders with few frames; `sequences` maps some to (annotated rows, images)."""
    from spot.data.datasets.otb import VERSIONS

    first = {"David": 300, "BlurCar1": 247, "BlurCar3": 3, "BlurCar4": 18}
    special = {"Tiger1": (8, 8), "Football1": (3, 6), "David": (3, 310), **(sequences or {})}
    separators = [",", "\t", " "]
    truth = {}
    for i, name in enumerate(VERSIONS["OTB100"]):
        sequence, _, target = name.partition("-")
        rows, images = special.get(sequence, (3, 3))
        truth[name] = boxes(name, rows)
        digits = 5 if sequence == "Board" else 4
        start = 1 if sequence == "David" else first.get(sequence, 1)
        write_frames(root / sequence / "img", images, f"{{:0{digits}d}}.jpg", start)
        file = f"groundtruth_rect.{target}.txt" if target else "groundtruth_rect.txt"
        write_text(root / sequence / file, table(truth[name], separators[i % 3], "\r\n" if i % 2 else "\n"))
    write_text(root / "anno" / "att" / "basketball.txt", ",".join(["1"] + ["0"] * 9 + ["1"]))
    return truth


def write_uav(root: Path) -> GroundTruth:
    """A plain video, the second and third parts of a cut one, a simulated one, and a long one; NaN rows."""
    parts = {"bike1": ("bike1", 1), "bird1_2": ("bird1", 775), "bird1_3": ("bird1", 1573), "car1_s": ("car1_s", 1)}
    truth = {}
    for name, (folder, first) in parts.items():
        rows = boxes(name, 4).astype(float)
        rows[2] = np.nan
        truth[name] = rows
        write_frames(root / "data_seq" / "UAV123" / folder, 4, "{:06d}.jpg", first)
        write_text(root / "anno" / "UAV123" / f"{name}.txt", table(rows).replace("nan", "NaN"))
    truth["UAV20L/bike1"] = boxes("long", 4)
    write_text(root / "anno" / "UAV20L" / "bike1.txt", table(truth["UAV20L/bike1"]))
    write_text(root / "anno" / "UAV123" / "att" / "bike1.txt", "1,0,0,0,0,0,0,0,0,0,0,1")
    return truth


def write_nfs(root: Path) -> GroundTruth:
    """`slow` is annotated at 30 fps, `fast` at 240 fps in both folders; labels hold spaces."""
    truth = {}
    for name, rows_30 in (("slow", 5), ("fast", 40)):
        for fps, rows in ((30, rows_30), (240, 40)):
            home = root / name / str(fps)
            xywh = boxes(name, rows)
            corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
            lines = [f'0 {" ".join(map(str, c))} {i} {int(i == 8)} 0 0 "a ball"' for i, c in enumerate(corners)]
            write_text(home / f"{name}.txt", "\n".join(lines) + "\n")
            write_frames(home / name, 5 if fps == 30 else 40, "{:05d}.jpg")
            truth[f"{name}/{fps}"] = xywh
    return truth


def write_tc128(root: Path) -> GroundTruth:
    """A plain sequence, one that starts late, and one whose files are spelt another way."""
    truth = {}
    for name, stem, first in (("Ball_ce1", "Ball_ce1", 1), ("David", "David", 300), ("Yo_yos_ce1", "Yo-yos_ce1", 1)):
        truth[name] = boxes(name, 3)
        write_frames(root / name / "img", 3, "{:04d}.jpg", first)
        write_text(root / name / f"{stem}_gt.txt", table(truth[name]))
        write_text(root / name / f"{stem}_frames.txt", f"{first},{first + 2}\n")
    return truth


def corners_of(rows: np.ndarray) -> np.ndarray:
    """(n, 8) corner points of boxes xywh."""
    x, y, w, h = np.asarray(rows, float).T
    return np.stack([x, y, x + w, y, x + w, y + h, x, y + h], 1)


def write_vot(
    root: Path, version: str = "VOT2018", names: Sequence[str] = ("ants1", "bag"), frames: int = 5
) -> GroundTruth:
    """Polygons and tags, the second video's tag list cut short; boxes with NaN rows for the long-term set."""
    truth = {}
    for i, name in enumerate(names):
        rows = boxes(name, frames).astype(float)
        home = root / version / name
        if version.endswith("LT"):
            rows[2] = np.nan
        write_frames(home if version == "VOT2016" else home / "color", frames)
        write_text(home / "groundtruth.txt", table(rows if version.endswith("LT") else corners_of(rows)))
        write_text(home / "occlusion.tag", "1\n" * (frames - 2 * i))
        truth[name] = rows
    write_text(root / version / "list.txt", "\n".join(names))
    return truth


def pack_folder(folder: Path, archive: Path, inside: str = "") -> None:
    """Put the content of a folder into a .zip or .tar, below the folder `inside`, and remove the folder."""
    if archive.suffix == ".tar":
        with tarfile.open(archive, "w") as file:
            file.add(folder, inside.rstrip("/") or ".")
    else:
        _zip_folder(folder, archive, inside)
    shutil.rmtree(folder)


def _zip_folder(folder: Path, archive: Path, inside: str) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{inside}{path.relative_to(folder)}")
