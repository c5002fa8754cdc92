"""Exchange formats: round trips, what other tools write and read, and hostile input."""

from __future__ import annotations

import csv
import itertools
import json
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from spot.annotation.exchange import FORMATS, VideoInfo, export_boxes, import_boxes
from spot.annotation.exchange.interpolation import choose_keyframes, interpolate
from spot.annotation.label_files import guess_format
from spot.data.box_table import BoxTable
from spot.data.boxes import box_iou
from spot.data.frames_to_label import write_frames
from spot.runtime.errors import SpotError

SPARSE = [name for name, kind in FORMATS.items() if not kind.keyframes]
VIDEO = [name for name, kind in FORMATS.items() if kind.keyframes]


def info(name: str, frames: int, width: int = 640, height: int = 360) -> VideoInfo:
    return VideoInfo(frames, width, height, lambda i: f"{name}/{i:06d}.jpg", lambda i: i / 30)


HEADER = "video,target,frame,x,y,w,h,absent"
VIDEOS = {"car": info("car", 60), "walk, quickly": info("walk, quickly", 40, 321, 243)}


def dense_table() -> BoxTable:
    """Curved tracks: car 1 with an absence, car 2 with a gap, and a walk; human boxes now and then."""
    rows: list[tuple] = []
    for video, target, frames in (
        ("car", 1, range(60)),
        ("car", 2, [*range(5, 20), *range(30, 60)]),
        ("walk, quickly", 3, range(40)),
    ):
        for frame in frames:
            human = frame % 17 == 0
            box = [50 + 30 * np.sin(frame / 9) + frame / 7, 40.1234 + frame, 30 + frame / 3, 25.5]
            if (video, target) == ("car", 1) and 25 <= frame < 35:
                box = [np.nan] * 4
            rows.append((video, target, frame, box, 1.0 if human else round(0.5 + frame / 200, 4), human))
    return BoxTable.build(*([row[i] for row in rows] for i in range(6)))


def human_table() -> BoxTable:
    return BoxTable.from_rows(
        [
            ("car", 1, 0, (10, 20.5, 30.1234, 40)),
            ("car", 1, 59, None),
            ("car", 2, 0, (-3, 0, 9, 9)),
            ("walk, quickly", 1, 7, (1, 2, 3, 4)),
        ]
    )


def as_rows(table: BoxTable) -> dict:
    return {
        key: (np.round(box, 3).tolist() if not absent else None, round(score, 4), human)
        for key, box, absent, score, human in zip(
            zip(table.video.tolist(), table.target.tolist(), table.frame.tolist(), strict=True),
            table.box,
            table.absent.tolist(),
            table.score.tolist(),
            table.is_gt.tolist(),
            strict=True,
        )
    }


def assert_same(found: BoxTable, expected: BoxTable) -> None:
    one, other = as_rows(found), as_rows(expected)
    assert one.keys() == other.keys()
    for key in other:
        assert one[key] == other[key], key


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", SPARSE)
def test_a_round_trip_loses_nothing(name: str, packed: bool, tmp_path: Path):
    for number, table in enumerate((human_table(), dense_table())):
        place = tmp_path / f"out{number}"
        files = export_boxes(name, table, VIDEOS, place)
        assert files
        assert all(file.is_file() for file in files)
        if packed:
            with zipfile.ZipFile(tmp_path / f"{number}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for file in files:
                    archive.write(file, str(file.relative_to(place)))
            place = tmp_path / f"{number}.zip"
        assert_same(import_boxes(name, place, VIDEOS), table)


def test_names_that_a_spreadsheet_would_run_are_quoted_in_every_csv_file(tmp_path: Path):
    """Labels and annotations, the list of frames, `flags.csv`; reading gives the names back."""
    names = ["=1+1", "+a", "-a", "@a", "'=a", "plain-1"]
    videos = {name: info(name, 20) for name in names}
    table = BoxTable.build(names, [1] * 6, [0] * 6, [[1, 2, 3, 4]] * 6, [0.5] * 6, [False] * 6)
    for export in ("csv", "coco", "mot"):
        export_boxes(export, table, videos, tmp_path / export)
        assert_same(import_boxes(export, tmp_path / export, videos), table)
    write_frames(tmp_path / "frames" / "to_label.csv", [(name, 1, 0) for name in names])
    files = list(tmp_path.rglob("*.csv"))
    assert {file.name for file in files} >= {"boxes.csv", "flags.csv", "to_label.csv"}
    for file in files:
        _, *rows = csv.reader(file.open(newline=""))
        assert {row[0] for row in rows} == {"'=1+1", "'+a", "'-a", "'@a", "''=a", "plain-1"}
        assert not any(row[0][0] in "=+-@" for row in rows)


@pytest.mark.parametrize("name", VIDEO)
def test_few_keyframes_give_back_the_dense_track(name: str, tmp_path: Path):
    table = dense_table()
    export_boxes(name, table, VIDEOS, tmp_path, min_iou=0.95)
    dense = import_boxes(name, tmp_path, VIDEOS, dense=True)
    assert dense.keys == table.keys
    assert (dense.absent == table.absent).all()
    seen = ~table.absent
    assert box_iou(dense.box[seen], table.box[seen]).min() > 0.949
    few = import_boxes(name, tmp_path, VIDEOS)
    assert len(few) < len(table) / 3
    human, kept = table.take(table.is_gt), few.take(few.is_gt)
    assert_same(kept, human)


@pytest.mark.parametrize("name", VIDEO)
def test_labels_of_single_frames_survive_the_formats_for_videos(name: str, tmp_path: Path):
    export_boxes(name, human_table(), VIDEOS, tmp_path)
    for dense in (False, True):
        assert_same(import_boxes(name, tmp_path, VIDEOS, dense=dense), human_table())


def test_keyframes_are_the_fewest():
    """Against all subsets of a short track."""
    rng = np.random.default_rng(3)
    for _ in range(8):
        boxes = np.cumsum(rng.normal(0, 0.7, (9, 4)), 0) + np.array([20, 20, 25, 25])
        fixed = np.zeros(9, bool)
        fixed[rng.integers(1, 8)] = True

        def fits(subset: tuple[int, ...], boxes: np.ndarray = boxes) -> bool:
            return all(
                (box_iou(interpolate(boxes[a], boxes[b], b - a + 1), boxes[a : b + 1]) >= 0.95).all()
                for a, b in itertools.pairwise(subset)
            )

        needed = [0, *np.flatnonzero(fixed).tolist(), 8]
        others = [i for i in range(9) if i not in needed]
        fewest = min(
            size
            for size in range(len(others) + 1)
            for extra in itertools.combinations(others, size)
            if fits(tuple(sorted({*needed, *extra})))
        )
        chosen = choose_keyframes(boxes, fixed)
        assert fits(tuple(chosen.tolist()))
        assert len(chosen) == len(set(needed)) + fewest


CVAT_TRACK = """<annotations><meta><task><name>car.mp4</name></task></meta>
<track id="0" label="{label}">
<box frame="10" keyframe="1" outside="0" occluded="0" xtl="10" ytl="10" xbr="20" ybr="30"/>
<box frame="11" keyframe="0" outside="0" occluded="0" xtl="11" ytl="10" xbr="21" ybr="30"/>
<box frame="12" keyframe="1" outside="0" occluded="0" xtl="12" ytl="10" xbr="22" ybr="30"/>
<box frame="{end}" keyframe="1" outside="1" occluded="0" xtl="12" ytl="10" xbr="22" ybr="30"/>
</track></annotations>"""


def test_cvat_tracks_as_cvat_writes_them(tmp_path: Path):
    file = tmp_path / "annotations.xml"
    file.write_text(CVAT_TRACK.format(label="target_2", end=13))
    table = import_boxes("cvat_video", file, VIDEOS)
    assert list(zip(table.frame.tolist(), table.absent.tolist(), strict=True)) == [(10, False), (12, False), (13, True)]
    assert set(table.target.tolist()) == {2}
    file.write_text(CVAT_TRACK.format(label="vehicle", end=13))
    with pytest.raises(SpotError, match=r"unknown label vehicle; rename it to target_1, or add names={vehicle:1}"):
        import_boxes("cvat_video", file, VIDEOS)
    assert import_boxes("cvat_video", file, VIDEOS, labels={"vehicle": 5}).target.tolist() == [5, 5, 5]
    file.write_text(CVAT_TRACK.format(label="target_2", end=60))
    with pytest.raises(SpotError, match="car has no frame 60"):
        import_boxes("cvat_video", file, VIDEOS)


def test_a_frame_far_beyond_the_video_costs_nothing(tmp_path: Path):
    """Interpolating up to it would fill the memory."""
    file = tmp_path / "annotations.xml"
    file.write_text(CVAT_TRACK.format(label="target_2", end=10**9))
    with pytest.raises(SpotError, match="car has no frame 1000000000"):
        import_boxes("cvat_video", file, VIDEOS, dense=True)


def test_cvat_is_given_what_it_needs(tmp_path: Path):
    export_boxes("cvat_video", dense_table(), VIDEOS, tmp_path)
    text = (tmp_path / "car.xml").read_text()
    assert 'keyframe="0"' not in text
    assert 'frame="20" keyframe="1" outside="1"' in text  # behind the end of the first stretch of target 2
    assert 'frame="25" keyframe="1" outside="1"' in text
    assert (tmp_path / "walk, quickly.xml").is_file()


def test_cvat_calls_what_it_has_read_a_file_until_it_is_changed(tmp_path: Path):
    """Import into CVAT, change one predicted box, export: the changed box is a human's, the other prediction is not."""
    table = BoxTable.build(
        ["car"] * 3, [1] * 3, [1, 2, 3], [[10.0, 10.0, 20.0, 20.0]] * 3, [1.0, 0.6, 0.7], [True, False, False]
    )
    _, labels = export_boxes("cvat", table, VIDEOS, tmp_path)
    assert [label["name"] for label in json.loads(labels.read_text())] == ["target_1"]
    file = tmp_path / "annotations.xml"
    imported = re.sub('source="(manual|auto)"', 'source="file"', file.read_text())
    before, _, changed = imported.rpartition('source="file"')
    file.write_text(before + 'source="manual"' + changed)
    assert import_boxes("cvat", file, VIDEOS).is_gt.tolist() == [True, False, True]


def test_yolo_rows_have_no_score_because_training_refuses_them(tmp_path: Path):
    table = dense_table()
    export_boxes("yolo", table, VIDEOS, tmp_path)
    rows = [line.split() for file in tmp_path.glob("labels/*/*.txt") for line in file.read_text().splitlines()]
    assert {len(row) for row in rows} == {5}
    assert (table.score != 1).any()
    assert import_boxes("yolo", tmp_path, VIDEOS).score.tolist() == table.score.tolist()


def test_label_studio_counts_from_one_in_percent(tmp_path: Path):
    export_boxes("label_studio_video", dense_table(), VIDEOS, tmp_path)
    (car, _) = json.loads((tmp_path / "tasks.json").read_text())
    first = car["annotations"][0]["result"][0]["value"]["sequence"]
    assert first[0]["frame"] == 1
    assert first[0]["x"] == pytest.approx(100 * 50 / 640)
    assert [item["frame"] for item in first if not item["enabled"]] == [25]  # the last box before the absence
    task = {"data": {"video": "/videos/car.mp4"}, "annotations": [{"result": [{"type": "videorectangle", "value": {
        "labels": ["target_1"], "sequence": [
            {"frame": 1, "enabled": True, "x": 10, "y": 10, "width": 10, "height": 10},
            {"frame": 5, "enabled": False, "x": 20, "y": 10, "width": 10, "height": 10},
        ]}}]}]}  # fmt: skip
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task]))
    table = import_boxes("label_studio_video", file, VIDEOS, dense=True)
    assert table.frame.tolist() == [0, 1, 2, 3, 4, 5]
    assert table.box[:5, 0].tolist() == [64, 80, 96, 112, 128]
    assert table.absent.tolist() == [False] * 5 + [True]


CVAT_IMAGE = """<annotations><image name="car/000001.jpg">
<box label="target_1" xtl="1" ytl="1" ybr="3" {}/></image></annotations>"""


def coco(images: int = 1, **box: object) -> str:
    """A COCO file with one box."""
    return json.dumps(
        {
            "categories": [{"id": 1, "name": "target_1"}],
            "images": [{"id": 1, "file_name": "car/000001.jpg"}] * images,
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], **box}],
        }
    )


def studio(made: dict | None = None, **box: float) -> str:
    """An image task of Label Studio with one box."""
    value = {"y": 1, "width": 2, "height": 3, "rectanglelabels": ["target_1"], **box}
    result = [{"type": "rectanglelabels", "value": value}]
    return json.dumps([{"data": {"image": "car/000001.jpg"}, "annotations": [{"result": result, **(made or {})}]}])


def test_label_studio_exports_predictions_as_their_numbers(tmp_path: Path):
    (task,) = json.loads(studio(x=1))
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task | {"predictions": [7, 8]}]))
    assert len(import_boxes("label_studio", file, VIDEOS)) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cvat", '<!DOCTYPE a [<!ENTITY x "y">]><annotations/>', "document type or entities is refused"),
        ("cvat", "<annotations>", "not an XML file"),
        ("cvat", '<annotations><image name="cat/1.jpg"/></annotations>', "unknown frame cat/1.jpg"),
        (
            "cvat",
            '<annotations><image name="car/000001.jpg"><box label="target_1"/></image></annotations>',
            "not a number",
        ),
        ("csv", "[" * 200_000, "not a CSV file"),
        ("csv", f"{HEADER}\ncar,{10**30},0,1,2,3,4,0\n", "line 2: numbers of frames"),
        ("csv", f"{HEADER}\ncar,1,0,1e308,2,1e308,4,0\n", "line 2: .* is not a box"),
        ("coco", "[" * 100_000, "not a JSON file"),
        ("coco", "{}", r"not a COCO file \(KeyError"),
        ("coco", '{"categories": [], "images": [{"id": 1, "file_name": "x.jpg"}]}', "unknown frame x.jpg"),
        (
            "label_studio",
            '[{"data": {"image": "car/000099.jpg"}, "annotations": [{"result": [{"value": {}}]}]}]',
            "frame",
        ),
        ("label_studio", '{"a": 1}', "not an export of Label Studio"),
        ("mot", "1,1,0,0,5\n", "line 1 is not frame"),
        ("csv", "video,frame,x,y,w,h\ncat,0,1,2,3,4\n", "unknown video cat"),
        ("csv", f"{HEADER},score\ncar,1,0,1,2,3,4,0,nan\n", "line 2: nan is not a score"),
        ("csv", f"{HEADER}\n", "no box is found; expected a CSV file"),
        ("mot", "1,1,nan,1,5,6\n", "car, frame 0: nan,1,5,6 is not a box with an area"),
        ("mot", "1.5,1,1,1,5,6\n", "1.5 is not a whole number"),
        ("mot", "1e400,1,1,1,5,6\n", "not a MOT file"),
        ("coco", coco(bbox=[1, 2, 3]), "car, frame 1: 1,2,3 is not a box"),
        ("coco", coco(bbox=[float("nan"), 1, 2, 3]), "car, frame 1: nan,1,2,3 is not a box"),
        ("coco", coco(score=7), "car, frame 1: 7 is not a score"),
        ("coco", coco(images=2), "two images have the id 1"),
        ("cvat", '<?xml version="1.0" encoding="utf99"?><annotations/>', "not a CVAT file"),
        ("cvat", "<html/>", "no box is found; expected a CVAT file"),
        ("cvat", CVAT_IMAGE.format('xbr="inf"'), "car, frame 1: 1,1,inf,2 is not a box"),
        ("cvat", CVAT_IMAGE.format('xbr="2" rotation="45"'), "a box is rotated, which is not supported"),
        ("cvat_video", CVAT_IMAGE.format('xbr="2"'), "no box is found"),
        ("label_studio", studio(x=1, rotation=30), "a box is rotated, which is not supported"),
        ("label_studio", studio(x=float("nan")), "car, frame 1: nan,"),
        ("label_studio", studio({"was_cancelled": True}, x=1), "no box is found"),
    ],
)
def test_foreign_content_is_named(name: str, content: str, said: str, tmp_path: Path):
    file = tmp_path / "car" / "car"
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(SpotError, match=said) as error:
        import_boxes(name, file, VIDEOS)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("member", ["../up.csv", "/abs.csv", "a/../../b.csv", "C:/x.csv", "..\\x.csv"])
def test_zips_that_lead_elsewhere_are_refused(member: str, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "video,frame,x,y,w,h\n")
    with pytest.raises(SpotError, match="a place outside itself"):
        import_boxes("csv", tmp_path / "a.zip", VIDEOS)


def test_zip_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("spot.annotation.exchange.files._LARGEST_FILE", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "0" * 5000)
        archive.writestr("a.jpg", "0" * 5000)
    with pytest.raises(SpotError, match=r"a.zip/a.csv: larger than 256 MB; split it"):
        import_boxes("csv", tmp_path / "a.zip", VIDEOS)


def test_pictures_in_a_zip_may_be_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """CVAT exports a task with its images."""
    monkeypatch.setattr("spot.annotation.exchange.files._LARGEST_FILE", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "video,target,frame,x,y,w,h,absent\ncar,1,2,1,1,5,5,0\n")
        archive.writestr("images/a.jpg", "0" * 5000)
    assert len(import_boxes("csv", tmp_path / "a.zip", VIDEOS)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("names: [a\n b: c", "not a folder of YOLO labels"),
        ("a: &a [x]\nnames: [*a, *a]", "holds YAML aliases"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_hostile_list_of_classes_is_named(content: str, said: str, tmp_path: Path):
    export_boxes("yolo", human_table(), VIDEOS, tmp_path)
    (tmp_path / "data.yaml").write_text(content)
    with pytest.raises(SpotError, match=said) as error:
        import_boxes("yolo", tmp_path, VIDEOS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["deep", "encrypted", "unknown method"])
def test_the_format_of_a_hostile_file_is_not_guessed(kind: str, tmp_path: Path):
    file = tmp_path / ("labels.json" if kind == "deep" else "labels.zip")
    if kind == "deep":
        file.write_text("[" * 100_000)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("annotations.xml", "<annotations/>")
        content = bytearray(file.read_bytes())
        for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            if kind == "encrypted":
                content[content.index(header) + flags] |= 1
            else:
                content[content.index(header) + flags + 2] = 99
        file.write_bytes(content)
    with pytest.raises(SpotError, match=f"import={file}: not a"):
        guess_format(file)


def test_unknown_formats_and_videos_are_named(tmp_path: Path):
    with pytest.raises(SpotError, match=r"export=voc is unknown; choose from: csv, cvat"):
        export_boxes("voc", human_table(), VIDEOS, tmp_path)
    with pytest.raises(SpotError, match="export=coco: unknown video walk"):
        export_boxes("coco", human_table(), {"car": VIDEOS["car"]}, tmp_path)
    with pytest.raises(SpotError, match="no such file"):
        import_boxes("coco", tmp_path / "none.json", VIDEOS)


@pytest.mark.filterwarnings("ignore")
class TestDatumaro:
    """datumaro as the oracle: what we write, another program reads alike."""

    @pytest.fixture
    def datasets(self):
        return pytest.importorskip("datumaro").Dataset

    def boxes_of(self, dataset) -> dict:
        found = {}
        for item in dataset:
            for shape in item.annotations:
                if hasattr(shape, "get_bbox"):
                    found.setdefault(item.id.replace("\\", "/"), []).append(np.round(shape.get_bbox(), 2).tolist())
        return {key: sorted(boxes) for key, boxes in found.items()}

    def expected(self) -> dict:
        table, found = human_table(), {}
        for row in np.flatnonzero(~table.absent):
            key = VIDEOS[str(table.video[row])].image(int(table.frame[row])).removesuffix(".jpg")
            found.setdefault(key, []).append(np.round(table.box[row], 2).tolist())
        return {key: sorted(boxes) for key, boxes in found.items()}

    def write_images(self, folder: Path) -> None:
        for name, video in VIDEOS.items():
            for frame in {*human_table().of_video(name).frame.tolist()}:
                file = folder / video.image(frame)
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), np.zeros((video.height, video.width, 3), np.uint8))

    def test_cvat(self, datasets, tmp_path: Path):
        export_boxes("cvat", human_table(), VIDEOS, tmp_path)
        self.write_images(tmp_path / "images")
        assert self.boxes_of(datasets.import_from(str(tmp_path), "cvat")) == self.expected()

    def test_coco(self, datasets, tmp_path: Path):
        export_boxes("coco", human_table(), VIDEOS, tmp_path)
        (tmp_path / "annotations").mkdir()
        (tmp_path / "annotations.json").rename(tmp_path / "annotations/instances_default.json")
        self.write_images(tmp_path / "images/default")
        assert self.boxes_of(datasets.import_from(str(tmp_path), "coco_instances")) == self.expected()

    def test_cvat_tracks(self, datasets, tmp_path: Path):
        """Keyframes, and where a track is outside: behind an end, and in an absence."""
        export_boxes("cvat_video", dense_table().of_video("car"), VIDEOS, tmp_path)
        few = import_boxes("cvat_video", tmp_path, VIDEOS)
        (tmp_path / "car.xml").rename(tmp_path / "annotations.xml")
        found = {
            (shape.label + 1, item.attributes["frame"]): None if shape.attributes["outside"] else list(shape.get_bbox())
            for item in datasets.import_from(str(tmp_path), "cvat")
            for shape in item.annotations
        }
        ends = {(2, 20): None}
        columns = zip(few.target.tolist(), few.frame.tolist(), few.box.tolist(), few.absent.tolist(), strict=True)
        expected = ends | {(target, frame): None if absent else box for target, frame, box, absent in columns}
        assert found.keys() == expected.keys()
        assert all(found[key] == (box and pytest.approx(box, abs=0.011)) for key, box in expected.items())

    def test_yolo(self, datasets, tmp_path: Path):
        """datumaro takes the folder for the subset."""
        export_boxes("yolo", human_table(), VIDEOS, tmp_path)
        self.write_images(tmp_path / "images")
        found = datasets.import_from(str(tmp_path), "yolo")
        boxes = {f"{i.subset}/{i.id}": sorted(np.round(b.get_bbox(), 2).tolist() for b in i.annotations) for i in found}
        assert boxes == self.expected() | {"car/000059": []}

    @pytest.mark.parametrize(
        ("theirs", "ours"), [("cvat", "cvat"), ("coco_instances", "coco"), ("yolo", "yolo"), ("mot_seq_gt", "mot")]
    )
    def test_what_datumaro_writes_is_read(self, theirs: str, ours: str, datasets, tmp_path: Path):
        import datumaro

        seen = human_table().take(~human_table().absent)
        if ours == "mot":  # a sequence a folder, numbered from 1
            seen = seen.of_video("car")
        items = {}
        for row in range(len(seen)):
            name, frame = str(seen.video[row]), int(seen.frame[row])
            target = int(seen.target[row])
            box = datumaro.Bbox(*seen.box[row], label=target - 1, id=row + 1, attributes={"track_id": target})
            items.setdefault((name, frame), []).append(box)
        listed = [
            datumaro.DatasetItem(
                id=str(frame + 1) if ours == "mot" else VIDEOS[name].image(frame).removesuffix(".jpg"),
                subset="train",
                media=datumaro.Image.from_numpy(np.zeros((360, 640, 3) if name == "car" else (243, 321, 3), np.uint8)),
                annotations=boxes,
            )
            for (name, frame), boxes in items.items()
        ]
        place = tmp_path / "car" if ours == "mot" else tmp_path
        datasets.from_iterable(listed, categories=["target_1", "target_2"]).export(str(place), theirs)
        found = import_boxes(ours, tmp_path, VIDEOS)
        assert sorted(found.keys) == sorted(seen.keys)
        assert np.abs(found.box - seen.box).max() < 0.006  # datumaro writes two decimals

    def test_mot(self, datasets, tmp_path: Path):
        export_boxes("mot", human_table(), VIDEOS, tmp_path)
        found = self.boxes_of(datasets.import_from(str(tmp_path / "car"), "mot_seq"))
        boxes = [box for boxes in found.values() for box in boxes]
        assert sorted(boxes) == sorted(self.expected()["car/000000"])
