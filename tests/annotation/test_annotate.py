"""spot.annotate, spot.track, export= and import= on tiny clips, as a user types them."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from spot.annotation.calibration import PRIOR, Calibration
from spot.annotation.review import write_review
from spot.data.box_table import BoxTable
from spot.data.datasets.videos import load
from tests.annotation.clips import true_box, write_clips
from tests.end_to_end.runs import complaint, ok

START = (
    "arch=ocean_tiny",
    "initial=default",
    "accelerator=cpu",
    "backend=torch",
)  # an untrained network: the files matter here


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    write_clips(root / "clips", 24)
    rows = [
        (name, 1, frame, true_box(frame, 5 * n)) for n, name in enumerate(("first", "second")) for frame in (4, 12, 20)
    ]
    rows.append(("first", 2, 12, (100, 60, 20, 20)))
    BoxTable.from_rows(rows).write_csv(root / "outputs" / "labels" / "clips.csv")
    return root


def videos(place):
    return ("data=videos", f"paths.videos={place / 'clips'}")


@pytest.fixture(scope="module")
def annotated(place):
    done = ok("annotate", *START, *videos(place), "export=[csv,mot]", outputs=place / "outputs")
    return place / "outputs" / "annotations" / "ocean_tiny", done.stdout


def test_a_row_for_each_frame_and_target(annotated, place):
    folder, said = annotated
    with open(folder / "annotations.csv") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == ["video", "target", "frame", "x", "y", "w", "h", "score", "is_gt", "absent"]
    assert len(rows) == 3 * 24
    table = BoxTable.read_csv(folder / "annotations.csv")
    human = table.take(table.is_gt)
    assert len(human) == 7
    assert human.score.tolist() == [1.0] * 7
    labels = BoxTable.read_csv(place / "outputs" / "labels" / "clips.csv")
    assert np.array_equal(human.box, labels.box), "human boxes stay as they are"
    assert ((table.score[~table.is_gt] > 0) & (table.score[~table.is_gt] < 1)).all()
    assert "72 rows of 3 targets in 2 videos" in said


def test_the_next_command_is_whole(annotated, place):
    _, said = annotated
    (following,) = [line for line in said.splitlines() if line.startswith("next: ")]
    words = following.removeprefix("next: python -m spot.annotate ").partition("   (")[0].split()
    assert words[: len(START)] == list(START)
    assert words[len(START) : -1] == list(videos(place))
    assert words[-1] == "suggest=20"


def test_page_pictures_overlays_and_exports(annotated):
    folder, _ = annotated
    page = (folder / "review" / "index.html").read_text()
    assert "Lowest scores" in page
    import cv2

    for name in ("first", "second"):
        video = cv2.VideoCapture(str(folder / "overlays" / f"{name}.mp4"))
        assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 24
    assert list((folder / "export" / "csv").iterdir())
    assert list((folder / "export" / "mot").rglob("*.txt"))


def test_the_page_shows_weak_stretches_with_pictures_and_a_command(annotated, place, tmp_path):
    dense = BoxTable.read_csv(annotated[0] / "annotations.csv")
    weak = replace(dense, score=np.where(~dense.is_gt & (dense.video == "first"), 0.2, 0.9))
    clips = load(str(place / "clips"), str(tmp_path / "frames"))
    page = write_review(tmp_path, clips, weak, Calibration(PRIOR), lambda video, frame: f"label at={video}/{frame}")
    text = page.read_text()
    assert "label at=first/" in text
    assert "label at=second/" not in text
    pictures = [part.split('"')[0] for part in text.split('src="')[1:]]
    assert pictures
    assert all((tmp_path / picture).stat().st_size > 200 for picture in pictures)


def test_suggestions_reuse_what_is_tracked_and_make_a_list(annotated, place):
    folder, _ = annotated
    before = {file.name: file.stat().st_mtime_ns for file in (folder / "parts").iterdir()}
    said = ok("annotate", *START, *videos(place), "suggest=3", outputs=place / "outputs").stdout
    assert {file.name: file.stat().st_mtime_ns for file in (folder / "parts").iterdir()} == before
    assert "3 frames to label next" in said
    assert "next: python -m spot.label data=videos" in said
    lines = (place / "outputs" / "labels" / "clips_to_label.csv").read_text().splitlines()
    assert lines[0] == "video,target,frame"
    assert len(lines) == 4


def test_a_new_label_is_tracked_anew_for_its_target_alone(annotated, place, tmp_path):
    folder, _ = annotated
    labels = BoxTable.read_csv(place / "outputs" / "labels" / "clips.csv")
    more = labels.merge(BoxTable.from_rows([("second", 1, 16, true_box(16, 5))]))
    more.write_csv(tmp_path / "labels" / "clips.csv")
    before = {file.name for file in (folder / "parts").iterdir()}
    options = (f"paths.labels={tmp_path / 'labels'}", "review=false", "overlay=false")
    ok("annotate", *START, *videos(place), *options, outputs=place / "outputs")
    assert len({file.name for file in (folder / "parts").iterdir()} - before) == 1


def parts_of(place, output, *options):
    """Names of the tracked parts after another call; they are other ones if what is tracked differs."""
    words = (f"output={place / output}", "review=false", "overlay=false", "accelerator=cpu", "backend=torch")
    ok("annotate", *videos(place), *words, *options, outputs=place / "outputs")
    (parts,) = (place / output).glob("*/parts")
    return {file.name for file in parts.iterdir()}


def test_mirrored_videos_are_tracked_on_request(annotated, place):
    ocean = ("arch=ocean_tiny", "initial=default")
    plain = {file.name for file in (annotated[0] / "parts").iterdir()}
    assert parts_of(place, "plain", *ocean, "mirror=false") <= plain
    assert parts_of(place, "mirrored", *ocean, "mirror=true").isdisjoint(plain)


def test_nanotrack_tracks_mirrored_videos_by_itself(place, tmp_path):
    from hydra.utils import instantiate

    from spot.architectures.start_weights import write_start
    from tests.training.configs import composed

    networks = [instantiate(composed("train", "arch=nanotrack_v2", "data=synthetic").arch.network) for _ in range(2)]
    write_start(tmp_path / "nano.safetensors", *networks, "nanotrack_v2", "nothing")
    nano = ("arch=nanotrack_v2", f"initial={tmp_path / 'nano.safetensors'}")
    by_itself, mirrored, plain = (
        parts_of(place, f"nano{i}", *nano, *more) for i, more in enumerate(((), ("mirror=true",), ("mirror=false",)))
    )
    assert by_itself == mirrored
    assert by_itself.isdisjoint(plain)


def test_export_and_import_are_the_same_labels(place, tmp_path):
    outputs = place / "outputs"
    ok("label", *videos(place), "export=cvat", f"output={tmp_path / 'cvat'}", outputs=outputs)
    (file,) = (tmp_path / "cvat").rglob("*.xml")
    predicted = '<box label="vehicle" source="auto" xtl="1" ytl="1" xbr="9" ybr="9"/></image>'
    file.write_text(file.read_text().replace("</image>", predicted, 1))
    options = (f"import={file}", "names={vehicle:2}", f"paths.labels={tmp_path / 'back'}")
    said = ok("label", *videos(place), *options, outputs=outputs).stdout
    assert "1 box not drawn by a human: left out" in said
    here, there = (BoxTable.read_csv(folder / "clips.csv") for folder in (outputs / "labels", tmp_path / "back"))
    assert here.to_csv() == there.to_csv()
    (tmp_path / "odd.json").write_text(json.dumps({"a": 1}))
    said = complaint("label", *videos(place), f"import={tmp_path / 'odd.json'}", outputs=outputs)
    assert "add format=, one of csv, cvat" in said


def test_a_new_video_is_tracked(place, tmp_path):
    options = [f"video={place / 'clips' / 'first'}", "box=[20,30,24,20]", f"output={tmp_path}"]
    said = ok("track", *START, *options, outputs=place / "outputs").stdout
    assert "24 frames, mean score" in said
    table = BoxTable.read_csv(tmp_path / "first.csv")
    assert table.frame.tolist() == list(range(24))
    assert table.is_gt.tolist() == [True] + [False] * 23
    assert table.box[0].tolist() == [20, 30, 24, 20]
    assert (tmp_path / "first.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("annotate", (), "one of run=NAME, checkpoint="),
        ("annotate", ("run=nowhere",), "no checkpoints in"),
        ("annotate", ("initial=default", "arch=ocean_tiny", "suggest=0"), "suggest=0"),
        ("track", ("initial=default", "video=x.mp4"), "video=FILE and box="),
        ("track", ("initial=default", "video=x.mp4", "box=[1,2,3,4]"), "x.mp4: no such file"),
    ],
)
def test_what_is_missing_is_said_in_one_line(place, command, options, said):
    more = videos(place) if command == "annotate" else ()
    assert said in complaint(command, *options, *more, outputs=place / "outputs")
