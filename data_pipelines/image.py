"""Any DICOM, PNG or JPEG -> 8-bit grey pixels -> the size that training sees.

All resizing of place_jax happens here, so that an image is the same pixels whichever way it comes:
prepared into records, or given to a Predictor.
"""

import pathlib
import struct

import cv2
import numpy as np

from data_pipelines import dicom
from data_pipelines.records import BadInput

MAX_PIXELS = dicom.MAX_PIXELS
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Start-of-frame markers of JPEG; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Restart, start and end of image, start of scan: none belongs before the frame.
_JPEG_MISPLACED = frozenset(range(0xD0, 0xDB)) | {0x00, 0x01}


def read_image(image: str | pathlib.Path | bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a file as [h, w] uint8 grey. The kind is known by its content, not by its name.

    Colour becomes grey by luma and transparency is dropped; 16-bit PNG keeps its upper 8 bits, or
    is scaled by its largest value where that uses 12 bits or fewer. EXIF rotation is not applied:
    radiographs come without, and a viewer's wish is not the detector's.

    Args:
      image: path or content.
      max_pixels: refused above, before anything is decoded.

    Raises:
      BadInput: missing_file, unreadable_file, empty_file, lfs_pointer, html_page, not_an_image,
        truncated_image, undecodable_image, too_large, or what `dicom.read_dicom` raises.
    """
    data = image if isinstance(image, bytes) else dicom.read_content(image)
    _check_content(data)
    if data.startswith(_PNG):
        _check_png(data, max_pixels)
    elif data.startswith(_JPEG):
        _check_jpeg(data, max_pixels)
    else:
        return dicom.read_dicom(data, max_pixels=max_pixels)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise BadInput(
            "undecodable_image", "the image cannot be decoded: copy it again from its source"
        )
    return _to_grey(pixels)


def _check_content(data: bytes) -> None:
    """Names what is often found in the place of an image."""
    if not data.strip(b"\0"):
        raise BadInput("empty_file", f"the file is empty ({len(data)} bytes): copy it again")
    if data.startswith(b"version https://git-lfs"):
        raise BadInput(
            "lfs_pointer", "the file is a git-LFS pointer, not the image: run `git lfs pull`"
        )
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise BadInput("html_page", "the file is a web page, not an image: the download had failed")
    if not (data.startswith((_PNG, _JPEG)) or dicom.looks_like_dicom(data)):
        raise BadInput("not_an_image", "the file is neither DICOM, PNG nor JPEG")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise BadInput(
            "too_large" if width * height else "undecodable_image",
            f"the image is {width} x {height} pixels: between 1 and {max_pixels} are read",
        )


def _check_png(data: bytes, max_pixels: int) -> None:
    """Decoders take as much memory as a chunk says it is long, so lengths are checked here."""
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        if at + 12 + length > len(data):
            raise BadInput(
                "truncated_image", "the PNG ends too early: copy it again from its source"
            )
        if at == 8 and (length, kind) != (13, b"IHDR"):
            raise BadInput(
                "undecodable_image", "the PNG has no header: copy it again from its source"
            )
        at += 12 + length
    _check_size(*struct.unpack(">II", data[16:24]), max_pixels)


def _check_jpeg(data: bytes, max_pixels: int) -> None:
    """Decoders fill what is missing of a JPEG with grey, so its end is looked for here."""
    if b"\xff\xd9" not in data[-64:]:
        raise BadInput("truncated_image", "the JPEG ends too early: copy it again from its source")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            _check_size(width, height, max_pixels)
            return
        if marker in _JPEG_MISPLACED:  # decoders would read on where this would skip
            break
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    raise BadInput("undecodable_image", "the JPEG has no frame: copy it again from its source")


def _to_grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        highest = int(pixels.max())
        shift = max(highest.bit_length(), 8) - 8 if highest < 4096 else 8
        pixels = (pixels >> shift).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 2:  # grey and transparency
        return np.ascontiguousarray(pixels[..., 0])
    return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)


def fit_geometry(shape: tuple[int, int], size: int) -> float:
    """The scale that brings the long side of [h, w] to `size`."""
    return size / max(shape)


def fit_long_side(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resizes [h, w] so that its long side is `size` and its aspect is kept."""
    scale = fit_geometry(pixels.shape, size)
    if scale == 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    # Area averaging does not alias when shrinking; when growing it would be blocky.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)


def pad_and_crop(
    pixels: np.ndarray, crop: int, offset: tuple[int, int] | None = None
) -> np.ndarray:
    """Pads [h, w] with black to a square, image in the middle, and crops [crop, crop] from it.

    The square's side is the long side of the image, or `crop` where that is larger. `offset` is
    the crop's (y, x) in the square; None takes its middle. What batches do in evaluation.
    """
    side = max(*pixels.shape, crop)
    top, left = ((side - length) // 2 for length in pixels.shape)
    square = np.zeros((side, side), np.uint8)
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    y, x = ((side - crop) // 2,) * 2 if offset is None else offset
    return square[y : y + crop, x : x + crop]


def encode_png(pixels: np.ndarray) -> bytes:
    """[h, w] uint8 as PNG: lossless, so that every decoder gives the same pixels."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def decode_png(data: bytes) -> np.ndarray:
    """The inverse of encode_png."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
