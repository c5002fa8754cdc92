"""The whole way of docs/own_videos.md: each of its commands, as it stands there, on tiny clips."""

import re
import shlex

import httpx
import pytest

from spot.data.box_table import BoxTable
from tests.annotation.clips import true_box, write_clips
from tests.data.clips import write_clip
from tests.docs.pages import run_blocks
from tests.end_to_end.runs import ok, start, wait_until
from tests.paths import ROOT

SHORT = [  # so that seconds are enough
    "arch=ocean_tiny", "training.epochs=2", "training.burn_in=1", "training.steps=2", "training.labelled=2",
    "training.unlabelled=2", "loader.workers=0", "trainer=cpu", "teacher.threshold=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("journey")
    write_clips(root / "clips", 24)
    write_clip(root / "new.mp4", frames=12)
    return root


def lines() -> dict[str, list[list[str]]]:
    """Command -> the words of each of its lines on the page."""
    (block,) = run_blocks(ROOT / "docs/own_videos.md")
    found: dict[str, list[list[str]]] = {}
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        assert words[:2] == ["python", "-m"]
        found.setdefault(words[2].removeprefix("spot."), []).append(words[3:])
    return found


def run(place, name, words, *more):
    return ok(name, *words, *more, outputs=place / "outputs", folder=place).stdout


def label(place, words) -> None:
    """Draw every box that the page asks for, as the page does."""
    options = (*words, "port=0", "browser=false")
    process = start("label", *options, outputs=place / "outputs", said=place / "log", folder=place)
    wait_until(lambda: "token=" in (place / "log").read_text(), process)
    (address,) = re.findall(r"http://\S+", (place / "log").read_text())
    with httpx.Client(base_url=address.split("/?")[0], follow_redirects=True) as page:
        page.get(address).raise_for_status()
        for number, video in enumerate(page.get("/api/project").json()["videos"]):
            known = {each["frame"] for each in video["labels"]}
            for frame in set(video["tasks"]) - known:
                body = {
                    "video": video["name"],
                    "target": 1,
                    "frame": frame,
                    "box": true_box(frame, 5 * number).tolist(),
                }
                page.put("/api/label", json=body).raise_for_status()
        page.post("/api/finish").raise_for_status()
    assert process.wait(60) == 0
    assert "next: python -m spot.train" in (place / "log").read_text()


def test_the_journey(place):
    page = lines()
    assert list(page) == ["sample", "label", "train", "annotate", "track"]
    outputs = place / "outputs"
    assert "6 frames to label in 2 videos" in run(place, "sample", *page["sample"])
    label(place, *page["label"])
    assert len(BoxTable.read_csv(outputs / "labels" / "clips.csv")) == 6
    assert "next: python -m spot.annotate run=mine" in run(place, "train", *page["train"], *SHORT)
    annotate, suggest = page["annotate"]
    assert "48 rows of 2 targets" in run(place, "annotate", annotate)
    assert (outputs / "annotations" / "mine" / "review" / "index.html").is_file()
    assert "frames to label next" in run(place, "annotate", suggest)
    label(place, *page["label"])
    assert len(BoxTable.read_csv(outputs / "labels" / "clips.csv")) > 6
    assert "round 2 starts from the network of round 1" in run(place, "train", *page["train"], *SHORT)
    assert (outputs / "mine" / "rounds" / "001" / "checkpoints" / "last.ckpt").is_file()
    assert "12 frames, mean score" in run(place, "track", *page["track"])
    assert (outputs / "tracks" / "new.csv").is_file()
