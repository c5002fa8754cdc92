"""Frames: from a file, or a member of an archive, to pixels and a mean colour."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from spot.data.archives import read_member
from spot.runtime.errors import SpotError

Decode = Literal["exact", "fast"]

# Boxes refer to the stored pixels, so an EXIF orientation must not turn the frame.
_CV2_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_REDUCTIONS = (8, 4, 2)

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
LARGEST = int(os.environ.get("SPOT_LARGEST_IMAGE", 2**28))  # pixels; a small file may ask for gigabytes of memory

# Warnings of libjpeg about images that are complete: an odd header, padding. All programs with libjpeg read them.
_HARMLESS = (
    "extraneous bytes",
    "SOS parameters",
    "Adobe color transform",
    "ICC marker",
    "progression",
)
_END = b"\xff\xd9"


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        pixels: (h, w, 3) uint8 RGB; h and w are the full size over `reduction`, rounded down.
        width, height: size of the full frame in pixels; boxes refer to it.
        mean: (3,) float64 RGB mean colour of `pixels`.
        path: its file, for error messages; "" if it was not read from a file.
        warning: libjpeg's warning about an image that is complete nevertheless; else "".
        reduction: 1, 2, 4 or 8. Decoded pixel j covers the full frame's pixels
            `reduction * j` to `reduction * (j + 1) - 1`.
    """

    pixels: np.ndarray
    width: int
    height: int
    mean: np.ndarray
    reduction: int = 1
    warning: str = ""
    path: str = ""


def read_bytes(path: str) -> bytes:
    """Return the content of a file, or of a member of an archive.

    Args:
        path: `/data/video/00000001.jpg`, or `/data/airplane.zip!/airplane-1/img/00000001.jpg`; .tar likewise.

    Raises:
        SpotError: the file, archive or member is missing, unreadable or truncated; the message names it.
    """
    archive, separator, member = path.partition("!/")
    if separator:
        return read_member(archive, member)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SpotError(f"{path}: {error.strerror}; check the path or restore the file") from None


def find_frame(path: str) -> str:
    """Return the path of a frame, or of an image of the same name with another extension.

    Lists and patterns may have `0001.jpg` where the data set has `0001.png`. The path of a frame in an archive is
    returned unchanged.
    """
    if "!/" in path or os.path.exists(path):
        return path
    stem = os.path.splitext(path)[0]
    endings = [ending for each in SUFFIXES for ending in (each, each.upper())]
    return next((stem + ending for ending in endings if os.path.exists(stem + ending)), path)


def read_frame(
    path: str, decode: Decode = "exact", crop_pixels: float | None = None, out_pixels: int | None = None
) -> Frame:
    """Read and decode one frame.

    Args:
        path: what `read_bytes` takes; `find_frame` where there is no such file. JPEG, PNG (8 or 16 bit) or whatever else OpenCV reads; grey-scale, CMYK
            and alpha come out as RGB. EXIF orientation is ignored.
        decode: "exact" gives the pixels that libjpeg and OpenCV give. "fast" decodes a JPEG at 1/2, 1/4 or
            1/8 as long as `crop_pixels / reduction >= out_pixels`: each pixel of the resized crop still has a
            decoded pixel of its own, and a crop less than twice its output size is decoded exactly.
            What changes is fine texture, which bilinear sampling of the full frame aliases and the reduced
            decode averages. Root mean square differences on sharp photographs, in levels of 255, for crops
            2.5, 3, 4, 5 and 8 times their output: 5, 7, 8, 12, 15 between fast and exact; from an
            area-averaged crop, fast 2.6, 2.2, 4.8, 4.0, 7.7 and exact 3.3, 6.5, 5.5, 9.8, 11.8. The mean
            colour moves by at most two levels (median 0.2), and at most one crop pixel is lost at the image's
            right and lower edges.
        crop_pixels: side in full-frame pixels of the crop that will be taken, the smallest if several are.
        out_pixels: its side after resizing.

    Raises:
        SpotError: the file is missing, cut short, no image, or larger than SPOT_LARGEST_IMAGE pixels (2**28 where the
            environment does not set it); the text names it.
    """
    if decode not in ("exact", "fast"):
        raise SpotError(f"decode={decode} is unknown; use exact or fast")
    reduction = 1
    if decode == "fast" and crop_pixels is not None and out_pixels is not None:
        reduction = next((r for r in _REDUCTIONS if crop_pixels >= r * out_pixels), 1)
    warning = ""
    path = find_frame(path)
    data = read_bytes(path)
    if data.startswith(b"\xff\xd8"):
        pixels, width, height, reduction, warning = _decode_jpeg(path, data, reduction)
    else:
        pixels, reduction = _decode_other(path, data), 1
        height, width = pixels.shape[:2]
    # sums of uint8 are exact in float64, so one division gives np.mean's value at a hundredth of its cost
    mean = np.array(cv2.sumElems(pixels)[:3]) / (pixels.shape[0] * pixels.shape[1])
    return Frame(pixels, width, height, mean, reduction, warning, path)


def _decode_jpeg(path: str, data: bytes, reduction: int) -> tuple[np.ndarray, int, int, int, str]:
    """Return RGB pixels, full width and height, the reduction (1 for a small image), and a harmless warning."""
    try:
        height, width = _jpeg_size(data)
        _refuse_bomb(path, width, height)
        if reduction == 1 or min(width, height) < 8 * reduction:
            pixels, warning = _decompress(data)
            return pixels, width, height, 1, warning
        pixels, warning = _decompress(data, min_width=-(-width // reduction), min_height=-(-height // reduction))
        # a last row or column that is not full covers padding too, whatever the encoder left there
        return pixels[: height // reduction, : width // reduction], width, height, reduction, warning
    except ValueError as error:
        raise SpotError(f"{path}: corrupt JPEG ({error}); restore or remove the file") from None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return height and width. Raise ValueError for a header that cannot be read."""
    try:
        return simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError as error:
        try:
            return simplejpeg.decode_jpeg_header(data, strict=False)[:2]
        except KeyError:  # simplejpeg's answer to a header without a size
            raise error from None


def _decompress(data: bytes, **size: int) -> tuple[np.ndarray, str]:
    """Return RGB pixels and a harmless warning. Raise ValueError if any pixel may be wrong."""
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **size), ""
    except ValueError as error:
        warning = str(error)
    if "Premature end" in warning and not data.endswith(_END):
        # without its end marker alone a picture is whole: with one, nothing is amiss any more
        return simplejpeg.decode_jpeg(data + _END, "RGB", **size), "no end marker"
    if "JFIF revision" in warning and (at := data.find(b"JFIF\0") + 5) > 4:
        # simplejpeg refuses it even when it is not strict; with the usual number the rest is decoded strictly
        return _decompress(data[:at] + b"\1\1" + data[at + 2 :], **size)[0], warning
    # Only the first warning is reported; a harmless one would hide that the image is also truncated.
    if not any(text in warning for text in _HARMLESS) or _END not in data[-2048:]:
        raise ValueError(warning)
    return simplejpeg.decode_jpeg(data, "RGB", strict=False, **size), warning


def _decode_other(path: str, data: bytes) -> np.ndarray:
    try:
        _refuse_bomb(path, *_size_in_header(data))
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _CV2_FLAGS) if data else None
    except cv2.error as error:
        raise SpotError(f"{path}: cannot be decoded ({error.err or 'OpenCV'}); restore or remove the file") from None
    if pixels is None:
        raise SpotError(f"{path}: corrupt or not an image; restore or remove the file")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _size_in_header(data: bytes) -> tuple[int, int]:
    """Return width and height from an image's header; zeros if Pillow does not know the format."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                return image.size
        except Image.DecompressionBombError:
            return LARGEST + 1, 1
        except Exception:  # Pillow can raise anything; OpenCV decides whether it is an image
            return 0, 0


def _refuse_bomb(path: str, width: int, height: int) -> None:
    if width * height > LARGEST:
        raise SpotError(
            f"{path}: an image of more than {LARGEST} pixels is refused; remove it, or set SPOT_LARGEST_IMAGE"
        )
