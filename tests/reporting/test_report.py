"""The HTML report in a real browser, and the pictures in it."""

import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
import simplejpeg

from spot.data.frame_sizes import frame_size, frame_sizes
from spot.data.video import Frames, Video, VideoSet
from spot.reporting.evaluate_benchmark import evaluate
from spot.reporting.options import Options
from spot.reporting.strips import BOX_COLOURS, chosen_frames, draw_boxes
from tests.evaluation.helpers import wandering, write_tracker

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CLICKS = """<script>
addEventListener("error", event => document.body.dataset.error = event.message);
const table = document.querySelector("table.sortable");
const order = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent).join(" ");
document.body.dataset.start = order();
table.tHead.rows[0].cells[0].click(); document.body.dataset.name = order();
table.tHead.rows[0].cells[1].click(); document.body.dataset.down = order();
table.tHead.rows[0].cells[1].click(); document.body.dataset.up = order();
document.body.dataset.pictures = [...document.images].every(i => i.complete && i.naturalWidth > 100);
document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;
</script></body>"""


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two short videos with frames: a grey field with a bright target."""
    folder, videos, rng = tmp_path_factory.mktemp("filmed"), [], np.random.default_rng(0)
    for name in ("first", "second"):
        boxes = wandering(rng, 12)
        (folder / name).mkdir()
        for i, (x, y, w, h) in enumerate(boxes.astype(int)):
            pixels = np.full((240, 400, 3), 90, np.uint8)
            pixels[y : y + h, x : x + w] = 220
            (folder / name / f"{i + 1:08d}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels, colorspace="RGB"))
        videos.append(Video(name, Frames(str(folder / name), 12), boxes.astype(np.float32), np.ones(12, bool)))
    return VideoSet.from_videos("Filmed", videos)


@pytest.fixture(scope="module")
def page(filmed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for i, (name, noise) in enumerate((("Zeta <b>", 1), ("alpha", 20), ("Mid", 6))):
        write_tracker(folder / "results/Filmed" / name, filmed, noise, seed=i)
    evaluate(filmed, folder / "results", None, folder / "out", Options(), quiet=True)
    return folder / "out/report.html"


def test_the_page_needs_nothing_else(page):
    text = page.read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<img") == 3 + 2  # three plots, a strip of each video
    assert "Zeta &lt;b&gt;" in text  # names are no markup


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; apt-get install chromium")
def test_tables_sort_in_a_browser(page, tmp_path):
    tried = tmp_path / "tried.html"
    tried.write_text(page.read_text().replace("</body>", CLICKS))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    outcome = subprocess.run(
        [*command, "--virtual-time-budget=4000", "--dump-dom", f"file://{tried}"],
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<body[^>]*>", outcome.stdout)[0]))
    assert "error" not in data
    assert data["start"] == "Zeta &lt;b&gt; Mid alpha"  # by success
    assert data["name"] == "alpha Mid Zeta &lt;b&gt;"
    assert data["down"] == "Zeta &lt;b&gt; Mid alpha"
    assert data["up"] == "alpha Mid Zeta &lt;b&gt;"
    assert data["pictures"] == "true"
    assert data["wide"] == "false"


def test_without_frames_there_are_no_strips(tmp_path, filmed):
    blind = VideoSet.from_videos(
        "Filmed", [Video(v.name, Frames("/nowhere", len(v)), v.boxes, v.visible) for v in filmed]
    )
    write_tracker(tmp_path / "results/a", blind)
    evaluate(blind, tmp_path / "results", None, tmp_path / "out", Options(plots=False), quiet=True)
    assert "Worst videos" not in (tmp_path / "out/report.html").read_text()


def test_frame_sizes_bound_got10k_overlaps(tmp_path, filmed):
    """With frames at hand, what sticks out of them does not count, as in the GOT-10k toolkit."""
    assert frame_sizes(filmed).tolist() == [[400, 240]] * 2
    folder = tmp_path / "results/a"
    folder.mkdir(parents=True)
    for video in filmed:
        boxes = video.boxes.astype(float)
        boxes[1:, 2] += 400 - boxes[1:, 0] - boxes[1:, 2]  # to the right border
        beyond = boxes.copy()
        beyond[1:, 2] += 300
        for name, table in (("inside", boxes), ("beyond", beyond)):
            place = tmp_path / "results" / name
            place.mkdir(exist_ok=True)
            (place / f"{video.name}.txt").write_text("\n".join(",".join(map(str, row)) for row in table))
    folder.rmdir()
    options = Options(protocol="got10k", plots=False, report=False)
    summary = evaluate(filmed, tmp_path / "results", None, None, options, quiet=True)
    assert summary["inside"]["ao"] == pytest.approx(summary["beyond"]["ao"], abs=1e-12)
    assert summary["inside"]["success"] > summary["beyond"]["success"]


def test_boxes_are_drawn_in_their_colours():
    """The truth is white with a black edge; a box far outside the frame is no error."""
    grey = np.full((100, 100, 3), 128, np.uint8)
    boxes = {BOX_COLOURS[0]: np.array([60, 60, 20, 20.0]), BOX_COLOURS[1]: np.array([-1e12, 0, 1e12, 1e12])}
    picture = draw_boxes(grey, 1.0, np.array([10, 40, 30, 30.0]), boxes, "#1").astype(int)
    for colour in (BOX_COLOURS[0], (255, 255, 255), (0, 0, 0)):
        assert (np.abs(picture[35:] - colour).sum(axis=2) < 30).sum() > 20


def test_frames_are_chosen_among_the_visible():
    visible = np.zeros(100, bool)
    visible[10:20] = True
    video = Video("v", Frames("/nowhere", 100), np.zeros((100, 4), np.float32), visible)
    assert chosen_frames(video, 3).tolist() == [10, 14, 19]
    assert len(chosen_frames(video, 50)) == 10


def test_frame_size_of_what_is_not_jpeg(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 50, 3), np.uint8))
    assert frame_size(str(tmp_path / "a.png")) == (50, 30)
