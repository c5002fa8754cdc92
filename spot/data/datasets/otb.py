"""OTB100, OTB50 and OTB2013, as downloaded; sequences may stay in their zip files.

    <root>/<sequence>/img/0001.jpg ...
                     /groundtruth_rect.txt     x,y,w,h a line, separated by commas, tabs or spaces
    <root>/anno/att/<sequence>.txt             optional: 11 flags, as in the official toolkit

Boxes are read as they are written, as pysot, PyTracking and the GOT-10k toolkit read them. (The Matlab tools of OTB count
pixels from 1; trackers and results of the field take the numbers as they are.)

What the files do not say and the official toolkit knows is written here: where the annotation begins, which sequences
have two targets, and that `Tiger1` starts with frame 6.
"""

from __future__ import annotations

import os

import numpy as np

from spot.data.annotation_cache import Source
from spot.data.annotations import Annotation, drawable, parse_table
from spot.data.datasets import pysot
from spot.data.folders import locate, need_root
from spot.data.images import read_bytes
from spot.data.reading import add_attributes, read_videos
from spot.data.video import Frames, VideoSet
from spot.runtime.errors import SpotError

ATTRIBUTES = (
    "Illumination Variation",
    "Out-of-Plane Rotation",
    "Scale Variation",
    "Occlusion",
    "Deformation",
    "Motion Blur",
    "Fast Motion",
    "In-Plane Rotation",
    "Out-of-View",
    "Background Clutter",
    "Low Resolution",
)
_FIRST_HALF = """
Basketball Biker Bird1 BlurBody BlurCar2 BlurFace BlurOwl Bolt Box Car1 Car4 CarDark CarScale ClifBar Couple Crowds
David Deer Diving DragonBaby Dudek Football Freeman4 Girl Human3 Human4-2 Human6 Human9 Ironman Jump Jumping Liquor
Matrix MotorRolling Panda RedTeam Shaking Singer2 Skating1 Skating2-1 Skating2-2 Skiing Soccer Surfer Sylvester Tiger2
Trellis Walking Walking2 Woman
"""
_SECOND_HALF = """
Bird2 BlurCar1 BlurCar3 BlurCar4 Board Bolt2 Boy Car2 Car24 Coke Coupon Crossing Dancer Dancer2 David2 David3 Dog Dog1
Doll FaceOcc1 FaceOcc2 Fish FleetFace Football1 Freeman1 Freeman3 Girl2 Gym Human2 Human5 Human7 Human8 Jogging-1
Jogging-2 KiteSurf Lemming Man Mhyang MountainBike Rubik Singer1 Skater Skater2 Subway Suv Tiger1 Toy Trans Twinnings
Vase
"""
_OF_2013 = """
Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1 Doll Dudek FaceOcc1
FaceOcc2 Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Ironman Jogging-1 Jogging-2 Jumping Lemming
Liquor Matrix Mhyang MotorRolling MountainBike Shaking Singer1 Singer2 Skating1 Skiing Soccer Subway Suv Sylvester
Tiger1 Tiger2 Trellis Walking Walking2 Woman
"""
VERSIONS = {
    "OTB100": sorted((_FIRST_HALF + _SECOND_HALF).split()),
    "OTB50": _FIRST_HALF.split(),
    "OTB2013": _OF_2013.split(),
}

_FIRST_FRAME = {"David": 300, "BlurCar1": 247, "BlurCar3": 3, "BlurCar4": 18, "Tiger1": 6}
_UNUSED_ROWS = {"Tiger1": 5}  # annotated, but before the first frame that counts


def load(
    root: str | None,
    version: str = "OTB100",
    annotations: str | None = None,
    cache: str | None = None,
    broken: list[str] | None = None,
) -> VideoSet:
    """Open OTB; a sequence with two targets gives two videos (`Jogging-1`, `Jogging-2`).

    Args:
        root: the folder of the sequences.
        version: OTB100 (100 videos), OTB50 (50) or OTB2013 (51).
        annotations: read the videos from this JSON file of the pysot toolkit instead.
        cache, broken: see `spot.data.reading.read_videos`.

    Raises:
        SpotError: missing or broken data; an unknown version.
    """
    root = need_root(root, "otb", "OTB_ROOT")
    if version not in VERSIONS:
        raise SpotError(f"version={version} of OTB is unknown; choose from: {', '.join(VERSIONS)}")
    if annotations:
        return pysot.load(version, root, annotations)
    videos = read_videos(
        version, "test", root, lambda: ([_source(root, n) for n in VERSIONS[version]], [root]), _read, cache, broken
    )
    folder = f"{root}/anno/att"
    # the toolkit writes some names with a small first letter
    files = {file.lower(): f"{folder}/{file}" for file in os.listdir(folder)} if os.path.isdir(folder) else {}
    return add_attributes(videos, ATTRIBUTES, lambda name: files.get(f"{name.lower()}.txt", f"{folder}/{name}.txt"))


def _source(root: str, name: str) -> Source:
    sequence, _, target = name.partition("-")
    home = locate(root, sequence)
    digits = 5 if sequence == "Board" else 4
    frames = Frames(f"{home}/img", 0, f"{{:0{digits}d}}.jpg", _FIRST_FRAME.get(name, 1))
    file = f"groundtruth_rect.{target}.txt" if target else "groundtruth_rect.txt"
    return Source(name, frames, (f"{home}/{file}",))


def _read(source: Source) -> Annotation:
    file = source.files[0]
    boxes = parse_table(read_bytes(file), file, 4)[_UNUSED_ROWS.get(source.name, 0) :]
    return Annotation(boxes.astype(np.float32), drawable(boxes))
