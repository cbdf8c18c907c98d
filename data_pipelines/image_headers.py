"""What kind of image a file is and how large, by its first bytes, before anything is decoded.

Decoders believe what a file says of itself and take the memory first: what is damaged, hostile or
something else in the place of an image is refused here.
"""

import enum
import struct

from data_pipelines import dicom
from data_pipelines.records import BadInput

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Start-of-frame markers of JPEG; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Restart, start and end of image, start of scan: none belongs before the frame.
_JPEG_MISPLACED = frozenset(range(0xD0, 0xDB)) | {0x00, 0x01}


class Kind(enum.Enum):
    """Kinds of files that are read."""

    DICOM = "dicom"
    JPEG = "jpeg"
    PNG = "png"


def kind_and_shape(data: bytes, max_pixels: int) -> tuple[Kind, tuple[int, int] | None]:
    """The kind of a file by its content, and its (rows, columns); of a DICOM file None.

    Raises:
      BadInput: empty_file, lfs_pointer, html_page, not_an_image, truncated_image,
        undecodable_image or too_large.
    """
    _check_content(data)
    if data.startswith(_PNG):
        return Kind.PNG, _png_shape(data, max_pixels)
    if data.startswith(_JPEG):
        return Kind.JPEG, _jpeg_shape(data, max_pixels)
    return Kind.DICOM, None


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


def _png_shape(data: bytes, max_pixels: int) -> tuple[int, int]:
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
    width, height = struct.unpack(">II", data[16:24])
    _check_size(width, height, max_pixels)
    return height, width


def _jpeg_shape(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Decoders fill what is missing of a JPEG with grey, so its end is looked for here."""
    if b"\xff\xd9" not in data[-64:]:
        raise BadInput("truncated_image", "the JPEG ends too early: copy it again from its source")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            _check_size(width, height, max_pixels)
            return height, width
        if marker in _JPEG_MISPLACED:  # decoders would read on where this would skip
            break
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    raise BadInput("undecodable_image", "the JPEG has no frame: copy it again from its source")
