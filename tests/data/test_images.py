"""Decoding: the pixels of OpenCV, RGB, stored orientation; every fault named."""

import multiprocessing
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from spot.data import images
from spot.data.images import read_bytes, read_frame
from spot.runtime.errors import SpotError

HEIGHT, WIDTH = 101, 151  # odd, so that reduced sizes round


def picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    noise = np.random.default_rng(0).random((height, width, 3), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def jpeg(subsampling: str = "420", **options) -> bytes:
    return simplejpeg.encode_jpeg(picture(), quality=90, colorsubsampling=subsampling, **options)


def with_orientation(data: bytes, orientation: int) -> bytes:
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def cv2_rgb(data: bytes) -> np.ndarray:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)[..., ::-1]


def saved(folder: Path, data: bytes, name: str = "frame.jpg") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


JPEGS = {
    "4:4:4, no chroma upsampling": jpeg("444"),
    "4:2:2, as webcams write": jpeg("422"),
    "4:2:0, the usual": jpeg("420"),
    "grey-scale, as in OTB": simplejpeg.encode_jpeg(picture()[..., :1].copy(), colorspace="GRAY"),
    "CMYK, as print workflows write": simplejpeg.encode_jpeg(
        np.dstack([picture(), picture()[..., 0]]), colorspace="CMYK", colorsubsampling="444"
    ),
    "EXIF orientation must not turn it": with_orientation(jpeg(), 6),
    "padding before a marker does no harm": jpeg()[:-2] + b"\0\0\0" + jpeg()[-2:],
}


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS.keys())
def test_exact_decode_equals_opencv(tmp_path, data):
    frame = read_frame(saved(tmp_path, data))
    np.testing.assert_array_equal(frame.pixels, cv2_rgb(data))
    assert (frame.width, frame.height, frame.reduction) == (WIDTH, HEIGHT, 1)
    np.testing.assert_array_equal(frame.mean, frame.pixels.mean((0, 1)))


def with_odd_scan(data: bytes) -> bytes:
    """A sequential JPEG whose scan header says Se = 0, as some cameras write."""
    at = data.rindex(b"\xff\xda")
    odd = bytearray(data)
    odd[at + 5 + 2 * data[at + 4] + 1] = 0
    return bytes(odd)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(jpeg()[:-2], "no end marker", id="no end marker"),
        pytest.param(jpeg().replace(b"JFIF\0\x01\x01", b"JFIF\0\x02\x01"), "JFIF", id="JFIF 2.01"),
        pytest.param(with_odd_scan(jpeg()), "SOS", id="scan parameters"),
    ],
)
def test_harmless_oddities_are_read_and_told(tmp_path, data, said):
    path = saved(tmp_path, data)
    for frame in (read_frame(path), read_frame(path, "fast", 1024, 128)):
        assert said in frame.warning
        assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    whole = data if data.endswith(b"\xff\xd9") else data + b"\xff\xd9"
    np.testing.assert_array_equal(read_frame(path).pixels, cv2_rgb(whole))
    assert read_frame(saved(tmp_path, jpeg())).warning == ""


def test_an_image_of_another_ending_stands_in(tmp_path):
    png = cv2.imencode(".png", picture())[1].tobytes()
    saved(tmp_path, png, "0001.png")
    saved(tmp_path, jpeg(), "0002.JPG")
    for name in ("0001", "0002"):
        assert read_frame(f"{tmp_path}/{name}.jpg").width == WIDTH
    with pytest.raises(SpotError, match=r"0003\.jpg: No such file"):
        read_frame(f"{tmp_path}/0003.jpg")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
def test_bombs_are_refused_by_their_header(tmp_path, monkeypatch, kind):
    path = saved(tmp_path, cv2.imencode(f".{kind}", picture())[1].tobytes(), f"frame.{kind}")
    monkeypatch.setattr(images, "LARGEST", WIDTH * HEIGHT)
    assert read_frame(path).width == WIDTH
    monkeypatch.setattr(images, "LARGEST", WIDTH * HEIGHT - 1)
    with pytest.raises(SpotError, match=rf"frame\.{kind}: an image of more than .* pixels is refused"):
        read_frame(path)


def test_what_opencv_raises_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path, cv2.imencode(".png", picture())[1].tobytes(), "frame.png")

    def fail(*_):
        raise cv2.error("too large")

    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(SpotError, match=r"frame\.png: cannot be decoded"):
        read_frame(path)


def test_opencv_would_have_turned_the_oriented_frame():
    data = np.frombuffer(JPEGS["EXIF orientation must not turn it"], np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape[:2] == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param(picture(), picture()[..., ::-1], id="8-bit colour"),
        pytest.param(picture().astype(np.uint16) * 257, picture()[..., ::-1], id="16-bit colour"),
        pytest.param(picture()[..., 0], picture()[..., [0, 0, 0]], id="grey-scale"),
        pytest.param(picture()[..., 0].astype(np.uint16) * 257, picture()[..., [0, 0, 0]], id="16-bit grey"),
        pytest.param(np.dstack([picture(), picture()[..., 0]]), picture()[..., ::-1], id="alpha is dropped"),
    ],
)
def test_png_comes_out_as_8_bit_rgb(tmp_path, stored, expected):
    frame = read_frame(saved(tmp_path, cv2.imencode(".png", stored)[1].tobytes(), "frame.png"))
    np.testing.assert_array_equal(frame.pixels, expected)
    assert frame.pixels.dtype == np.uint8


@pytest.mark.parametrize("level", [119, 254, 255])
def test_mean_of_one_colour_is_that_colour(tmp_path, level):
    """The fill is the mean truncated: a mean one rounding below a whole number would lose a level."""
    data = cv2.imencode(".png", np.full((97, 89, 3), level, np.uint8))[1].tobytes()
    np.testing.assert_array_equal(read_frame(saved(tmp_path, data, "flat.png")).mean, level)


@pytest.mark.parametrize(
    ("crop_pixels", "reduction"),
    [
        pytest.param(255, 1, id="a pixel too small to halve"),
        pytest.param(256, 2, id="just two decoded pixels an output pixel"),
        pytest.param(511, 2, id="a pixel too small to quarter"),
        pytest.param(512, 4, id="just four"),
        pytest.param(5000, 8, id="eight is all that JPEG offers"),
    ],
)
def test_fast_halves_only_while_every_output_pixel_has_its_own(tmp_path, crop_pixels, reduction):
    path = saved(tmp_path, jpeg())
    frame = read_frame(path, "fast", crop_pixels, 128)
    assert frame.reduction == reduction
    assert frame.pixels.shape == (HEIGHT // reduction, WIDTH // reduction, 3)
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(frame.mean, read_frame(path).mean, atol=2)


def test_fast_keeps_the_pixel_grid(tmp_path):
    """Reduced pixel j is the mean of the full pixels that it covers: no shift of the content."""
    ramp = np.broadcast_to(np.linspace(0, 255, 256)[:, None], (128, 256, 3)).astype(np.uint8)
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(ramp), quality=100, colorsubsampling="444")
    frame = read_frame(saved(tmp_path, data), "fast", 1024, 128)
    blocks = ramp.reshape(16, 8, 32, 8, 3).mean((1, 3))
    np.testing.assert_allclose(frame.pixels, blocks, atol=1)


def test_fast_leaves_the_padding_of_the_last_blocks_out(tmp_path):
    """257 pixels leave one to the last block: a reduced pixel of it would be seven eighths padding."""
    pixels = np.full((136, 264, 3), 20, np.uint8)
    pixels[129:] = pixels[:, 257:] = 255
    data = bytearray(simplejpeg.encode_jpeg(pixels, quality=98, colorsubsampling="444"))
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = (129).to_bytes(2, "big") + (257).to_bytes(2, "big")
    frame = read_frame(saved(tmp_path, bytes(data)), "fast", 1024, 128)
    assert (frame.width, frame.height, frame.pixels.shape) == (257, 129, (16, 32, 3))
    np.testing.assert_allclose(frame.mean, 20, atol=0.5)


def test_fast_is_exact_where_nothing_can_be_reduced(tmp_path):
    path = saved(tmp_path, jpeg())
    np.testing.assert_array_equal(read_frame(path, "fast", 200, 128).pixels, read_frame(path).pixels)
    icon = saved(tmp_path, simplejpeg.encode_jpeg(picture(12, 30)), "icon.jpg")
    assert read_frame(icon, "fast", 1024, 128).pixels.shape == (12, 30, 3)
    png = saved(tmp_path, cv2.imencode(".png", picture())[1].tobytes(), "frame.png")
    assert read_frame(png, "fast", 1024, 128).reduction == 1


BROKEN = {
    "cut short": jpeg()[:2000],
    "cut short in its last row": jpeg()[:-40],
    "cut short behind an odd header": jpeg().replace(b"JFIF\0\x01\x01", b"JFIF\0\x02\x01")[:2000],
    "an empty file": b"",
    "a text": b"not an image",
    "nothing but the magic number": b"\xff\xd8",
    "a cut PNG": cv2.imencode(".png", picture())[1].tobytes()[:60],
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken_image_is_named(tmp_path, data):
    path = saved(tmp_path, data, "bad_frame.jpg")
    with pytest.raises(SpotError, match=r"bad_frame\.jpg.*restore or remove") as caught:
        read_frame(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_unknown_mode_are_named(tmp_path):
    with pytest.raises(SpotError, match=r"gone\.jpg: No such file"):
        read_frame(str(tmp_path / "gone.jpg"))
    with pytest.raises(SpotError, match="decode=quick"):
        read_frame(saved(tmp_path, jpeg()), "quick")


MEMBERS = {f"video/img/{i:08d}.jpg": bytes([i]) * (1000 + i) for i in range(1, 30)}


def archive(folder: Path, kind: str) -> Path:
    path = folder / f"set_{kind}{'.tar' if kind.startswith('tar') else '.zip'}"
    if kind.startswith("zip"):
        method = zipfile.ZIP_DEFLATED if kind == "zip_deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as file:
            file.mkdir("video")
            for name, data in MEMBERS.items():
                file.writestr(name, data)
    else:
        for name, data in MEMBERS.items():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        with tarfile.open(path, "w") as file:
            file.add(folder / "source", "." if kind == "tar_dotted" else "")
    return path


kinds = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("zip_stored", id="zip stored, as for frames"),
        pytest.param("zip_deflated", id="zip deflated, the default of tools"),
        pytest.param("tar_plain", id="tar"),
        pytest.param("tar_dotted", id="tar with ./ before names, as 'tar cf x.tar .' writes"),
    ],
)


@kinds
def test_members_of_archives(tmp_path, kind):
    path = archive(tmp_path, kind)
    for name, data in MEMBERS.items():
        assert read_bytes(f"{path}!/{name}") == data
    with pytest.raises(SpotError, match=rf"{path.name} has no member video/img/00000099\.jpg"):
        read_bytes(f"{path}!/video/img/00000099.jpg")


@kinds
def test_cut_short_archive_is_named(tmp_path, kind):
    path = archive(tmp_path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SpotError, match=rf"{path.name}: truncated"):
        read_bytes(f"{path}!/video/img/00000001.jpg")


def test_members_that_lead_out_of_an_archive_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("../a.jpg", b"x")
    with pytest.raises(SpotError, match=r"a\.zip: the member '\.\./a\.jpg' leads out of the archive"):
        read_bytes(f"{tmp_path}/a.zip!/../a.jpg")


def test_archive_bombs_are_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", bytes(5000))
    assert len(read_bytes(f"{tmp_path}/a.zip!/a.jpg")) == 5000
    monkeypatch.setattr("spot.data.archives._LARGEST_MEMBER", 1000)
    with pytest.raises(SpotError, match=r"a\.zip!/a\.jpg: more than 1 GB when unpacked"):
        read_bytes(f"{tmp_path}/a.zip!/a.jpg")


def test_damaged_member_is_named(tmp_path):
    path = archive(tmp_path, "zip_stored")
    data = bytearray(path.read_bytes())
    data[data.index(b"\5" * 1000)] = 0
    path.write_bytes(data)
    assert read_bytes(f"{path}!/video/img/00000004.jpg") == MEMBERS["video/img/00000004.jpg"]
    with pytest.raises(SpotError, match=r"00000005\.jpg: truncated or damaged"):
        read_bytes(f"{path}!/video/img/00000005.jpg")


@pytest.mark.parametrize("content", [b"", b"no archive" * 100], ids=["empty", "text"])
def test_no_archive_is_named(tmp_path, content):
    path = tmp_path / "odd.zip"
    path.write_bytes(content)
    with pytest.raises(SpotError, match=r"odd\.zip: truncated, or not a zip"):
        read_bytes(f"{path}!/a.jpg")
    with pytest.raises(SpotError, match=r"gone\.tar: No such file"):
        read_bytes(f"{tmp_path}/gone.tar!/a.jpg")


def check_all(path: Path, order: list[str]) -> None:
    for name in order * 20:
        assert read_bytes(f"{path}!/{name}") == MEMBERS[name]


@pytest.mark.parametrize("kind", ["zip_stored", "tar_plain"])
def test_archive_opened_before_a_fork_serves_both_sides(tmp_path, kind):
    """A shared file position would mix up members once parent and child read at the same time."""
    path, names = archive(tmp_path, kind), list(MEMBERS)
    read_bytes(f"{path}!/{names[0]}")
    children = [
        multiprocessing.get_context("fork").Process(target=check_all, args=(path, order))
        for order in (names[::-1], names[::2] + names[1::2])
    ]
    for child in children:
        child.start()
    check_all(path, names)
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
