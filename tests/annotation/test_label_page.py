"""The label page in a real browser: what is drawn is on disk, whatever happens to page and server."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from spot.data.box_table import BoxTable
from tests.annotation.clips import write_clips
from tests.end_to_end.forks import Forked
from tests.end_to_end.runs import complaint, start, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
pytest.importorskip("starlette", reason="starlette is not installed (extra label)")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Page:
    """The command, its server and a browser page on it."""

    def __init__(self, folder: Path, browser, size=(1400, 900)):
        self.folder, self.outputs = write_clips(folder / "clips"), folder / "outputs"
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.process: Forked | None = None

    @property
    def file(self) -> Path:
        return self.outputs / "labels" / "clips.csv"

    def start(self) -> None:
        options = ["data=videos", f"paths.videos={self.folder}", "port=0", "browser=false"]
        log = self.outputs.parent / "log"
        self.process = start("label", *options, outputs=self.outputs, said=log)
        wait_until(lambda: "token=" in log.read_text(), self.process)
        (self.address,) = re.findall(r"http://\S+", log.read_text())
        self.log = log
        self.page.goto(self.address)
        self.page.wait_for_selector("#videos li.on")
        self.until("view.x !== 0 || view.y !== 0")  # the picture is there and fits

    def stop(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        self.process.wait(30)
        return self.log.read_text()

    def saved(self) -> None:
        """Wait until all changes have been acknowledged."""
        self.until("document.getElementById('saved').textContent === '✓ saved'")

    def until(self, condition: str) -> None:
        """Wait until an expression is true. The page's policy forbids Playwright's own way, which evaluates text in it."""
        wait_until(lambda: self.page.evaluate(condition), self.process)

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where an image pixel is on the page."""
        left, top = self.page.evaluate(
            f"(() => {{ const b = canvas.getBoundingClientRect(), p = toScreen([{x}, {y}]); return [b.x + p[0], b.y + p[1]]; }})()"
        )
        return left, top

    def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.on_screen(*begin))
        mouse.down()
        mouse.move(*self.on_screen((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2))
        mouse.move(*self.on_screen(*end))
        mouse.up()
        self.saved()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def place(self) -> tuple[str, int]:
        text = self.page.text_content("#place")
        name, frame = re.fullmatch(r"(\w+) frame (\d+) of \d+", text).groups()
        return name, int(frame)

    def labels(self) -> dict:
        table = BoxTable.read_csv(self.file)
        keys = zip(table.video.tolist(), table.target.tolist(), table.frame.tolist(), strict=True)
        boxes = [None if absent else box for absent, box in zip(table.absent, table.box.tolist(), strict=True)]
        return dict(zip(keys, boxes, strict=True))


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(tmp_path, browser):
    page = Page(tmp_path, browser)
    page.start()
    yield page
    if page.process.poll() is None:
        page.stop(signal.SIGKILL)
    page.context.close()
    assert page.faults == []


def close(found, expected) -> bool:
    return found is not None and max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 1.5


def test_a_user_draws_adjusts_and_goes_on(page):
    """One visit: draw, handles, arrows, absent, two targets, copy, undo, next; the file follows each step."""
    name, frame = page.place
    page.drag((20, 30), (60, 70))
    assert close(page.labels()[name, 1, frame], [20, 30, 40, 40])
    page.drag((60, 70), (70, 75))  # the lower right handle
    assert close(page.labels()[name, 1, frame], [20, 30, 50, 45])
    page.drag((40, 50), (45, 48))  # inside: the box moves
    assert close(page.labels()[name, 1, frame], [25, 28, 50, 45])
    before = page.labels()[name, 1, frame]
    page.press("ArrowRight", "Shift+ArrowDown", "Alt+ArrowLeft")
    page.saved()
    assert close(page.labels()[name, 1, frame], [before[0] + 1, before[1] + 10, before[2] - 1, before[3]])

    page.press("2")
    page.drag((100, 20), (130, 40))
    assert close(page.labels()[name, 2, frame], [100, 20, 30, 20])
    assert len(page.labels()) == 2

    page.press("Enter")
    other = page.place
    assert other[0] == name
    assert other[1] > frame
    page.press("a")
    page.saved()
    assert page.labels()[name, 1, other[1]] is None
    page.press("Enter")  # the second target of the same frame comes first
    assert page.place == other
    page.press("c")
    page.saved()
    assert close(page.labels()[name, 2, other[1]], [100, 20, 30, 20]), "the nearest box of the same target"
    page.press("z")
    page.saved()
    assert (name, 2, other[1]) not in page.labels()


def test_nothing_is_lost_by_reload_or_kill(page):
    name, frame = page.place
    page.drag((20, 30), (60, 70))
    held = page.file.read_bytes()
    page.page.reload()
    page.page.wait_for_selector("#videos li.on")
    assert page.place == (name, frame), "the page comes back where it was"
    assert page.page.text_content("#count").startswith("1 of 6")
    page.stop(signal.SIGKILL)
    assert page.file.read_bytes() == held
    page.press("ArrowRight")  # while the server is gone
    page.page.wait_for_selector("#saved.failed")
    assert "server is gone" in page.page.text_content("#saved")
    page.context.clear_cookies()
    page.start()
    assert page.place[0] == name
    assert page.page.text_content("#count").startswith("1 of 6")
    said = page.stop()
    assert "1 of 6 frames labelled" in said
    assert "the same command continues" in said


def test_all_frames_labelled_ends_with_the_next_command(page):
    for _ in range(6):
        page.drag((30, 30), (60, 60))
        page.press("Enter")
    page.page.wait_for_selector("#done[open]")
    assert "python -m spot.train experiment=own_videos" in page.page.text_content("#command")
    page.page.click("#end")
    page.process.wait(30)
    assert page.process.poll() == 0
    said = page.log.read_text()
    assert "6 of 6 frames labelled" in said
    assert "next: python -m spot.train experiment=own_videos" in said


def test_zoom_filmstrip_and_boxes_at_the_border(page):
    x, y = page.on_screen(80, 60)
    page.page.mouse.move(x, y)
    scale = page.page.evaluate("view.scale")
    page.page.mouse.wheel(0, -400)
    page.until(f"view.scale > {scale} * 1.5")
    assert page.on_screen(80, 60) == pytest.approx((x, y), abs=1)
    page.press("f")
    page.drag((140, 100), (165, 140))  # over the corner of the 160 x 120 image
    (box,) = page.labels().values()
    assert close(box, [140, 100, 20, 20])
    page.page.hover("#strip figure:last-child")
    page.until("peek !== null")
    page.page.hover("#next")
    page.until("peek === null")
    before = page.page.text_content("#count")
    page.page.click("#strip figure:last-child")
    assert page.page.text_content("#count") != before, "that frame is to be labelled too"


def test_only_the_holder_of_the_token_gets_in(page):
    import httpx

    base = page.address.split("/?")[0]
    assert httpx.get(base + "/").status_code == 403
    assert httpx.get(page.address).status_code == 403, "the token is used up"
    assert httpx.get(base + "/api/project").status_code == 403
    assert httpx.put(base + "/api/label", json={}).status_code == 403
    assert httpx.get(base + "/", headers={"Host": "evil.example"}).status_code == 400
    assert page.page.evaluate("fetch('/api/frame/0/99').then(r => r.status)") == 404
    assert page.page.evaluate("fetch('/static/../label_server.py').then(r => r.status)") == 404


def test_a_second_server_a_used_port_and_a_closed_folder_are_one_line(page):
    options = ["data=videos", f"paths.videos={page.folder}", "browser=false"]
    assert "clips.csv is in use by process" in complaint("label", *options, "port=0", outputs=page.outputs)
    port = int(re.search(r":(\d+)/", page.address)[1])
    elsewhere = page.outputs.parent / "elsewhere"
    said = complaint("label", *options, f"port={port}", f"paths.labels={elsewhere}", outputs=page.outputs)
    assert f"port={port}: Address already in use; choose another port=" in said
    (page.outputs / "file").write_text("")
    said = complaint("label", *options, "port=0", f"paths.labels={page.outputs / 'file'}", outputs=page.outputs)
    assert "cannot be locked (File exists)" in said
