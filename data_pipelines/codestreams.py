"""The JPEG family inside of DICOM: a frame's codestream -> its values.

A codestream repeats the size of its image in a header of its own, which decoders believe: it is
compared with the DICOM header first, so that a damaged or hostile one cannot ask for more memory.
"""

import struct
from collections.abc import Iterator

import numpy as np

from data_pipelines.records import BadInput

# Transfer syntaxes (DICOM PS3.6, table A-1): lossy 8 and 12 bits, lossless; JPEG-LS; JPEG 2000 and
# its high-throughput form.
_JPEG_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51))
_JPEG_LOSSLESS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (57, 70))
_JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203))
SYNTAXES = _JPEG_LOSSY | _JPEG_LOSSLESS | _JPEG_LS | _JPEG_2000

# Start of frame: baseline, extended and lossless; JPEG-LS. DICOM has no progressive JPEG, of which
# a few bytes can keep a decoder busy for minutes.
_FRAMES = {0xC0, 0xC1, 0xC3, 0xF7}
# JPEG 2000 decoders hold 500 bytes per precinct: with 2 x 2 pixels each that is 54 GiB for 100
# million pixels. Encoders use 64 and more.
_MIN_PRECINCT_EXPONENT = 5


def decode_codestream(
    stream: bytes, *, syntax: str, shape: tuple[int, int, int], photometric: str
) -> np.ndarray:
    """Decodes one frame to [h, w] or [h, w, 3] (RGB), 8 or 16 bits.

    Args:
      stream: the frame's fragments, joined.
      syntax: its transfer syntax UID, one of SYNTAXES.
      shape: (rows, columns, samples) by the DICOM header.
      photometric: the header's Photometric Interpretation, which says whether colour is YCbCr.

    Raises:
      BadInput: undecodable_pixels where the header of the codestream says another shape.
      Exception: whatever the decoder says of a damaged codestream.
    """
    import imagecodecs  # its decoders return errors of damaged streams, and do not abort

    if syntax in _JPEG_2000:
        _check_shape(_jpeg_2000_shape(stream), shape)
        pixels = imagecodecs.jpeg2k_decode(stream)
    elif syntax in _JPEG_LS:
        _check_shape(_jpeg_shape(stream), shape)
        pixels = imagecodecs.jpegls_decode(stream)
    else:
        _check_shape(_jpeg_shape(stream), shape)
        pixels = imagecodecs.jpeg8_decode(stream, **_jpeg_colours(stream, shape[2], photometric))
    if pixels.shape != (shape if shape[2] > 1 else shape[:2]) or pixels.dtype.itemsize > 2:
        raise ValueError("the decoder gave another shape or depth than the header says")
    if shape[2] == 3 and photometric.startswith("YBR_FULL") and syntax not in _JPEG_LOSSY:
        from pydicom.pixels import convert_color_space

        pixels = convert_color_space(pixels, "YBR_FULL", "RGB")
    return pixels


def _jpeg_colours(stream: bytes, samples: int, photometric: str) -> dict[str, str]:
    """What the decoder must be told of colours: which they are, where the stream does not say."""
    if samples == 1:
        return {}
    segments = dict(_jpeg_segments(stream))
    if 0xC3 in segments:  # lossless has no colours of its own
        return {"colorspace": "RGB", "outcolorspace": "RGB"}
    if 0xE0 in segments or 0xEE in segments:  # JFIF, Adobe
        return {"outcolorspace": "RGB"}
    space = "YCBCR" if photometric.startswith("YBR") else "RGB"
    return {"colorspace": space, "outcolorspace": "RGB"}


def _check_shape(found: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    if found != expected:
        (height, width, samples), (rows, columns, channels) = found, expected
        raise BadInput(
            "undecodable_pixels",
            f"the compressed pixels of the DICOM file are {width} x {height} x {samples} but its "
            f"header says {columns} x {rows} x {channels}: copy it again from its source",
        )


def _jpeg_segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) up to the first scan, stricter than decoders, so that both read the same"""
    if stream[:2] != b"\xff\xd8":
        raise ValueError("no start of image")
    at = 2
    while True:
        start, marker, length = struct.unpack(">BBH", stream[at : at + 4])
        if start != 0xFF or marker < 0xC0 or 0xD0 <= marker <= 0xD9 or marker == 0xFF:
            raise ValueError("no segment where one must be")
        if marker == 0xDA:
            return
        yield marker, stream[at + 4 : at + 2 + length]
        at += 2 + length


def _jpeg_shape(stream: bytes) -> tuple[int, int, int]:
    """(rows, columns, samples) of JPEG or JPEG-LS."""
    # Decoders fill what is missing of a JPEG with grey. A frame may be padded to even length.
    if b"\xff\xd9" not in stream[-64:]:
        raise BadInput(
            "truncated_pixels",
            "the compressed pixels of the DICOM file end too early: copy it again from its source",
        )
    for marker, content in _jpeg_segments(stream):
        if marker in _FRAMES:
            return struct.unpack(">HHB", content[1:6])
    raise ValueError("no frame")


def _jpeg_2000_shape(stream: bytes) -> tuple[int, int, int]:
    """(rows, columns, samples), from ISO 15444-1, A.5.1. Precincts are checked on the way."""
    if stream[:4] != b"\xff\x4f\xff\x51":  # DICOM forbids the JP2 wrapper
        raise ValueError("no JPEG 2000 codestream")
    x1, y1, x0, y0 = struct.unpack(">IIII", stream[8:24])
    (samples,) = struct.unpack(">H", stream[40:42])
    at = 2
    while at + 4 <= len(stream):  # main header, then the headers of all tile parts
        marker, length = struct.unpack(">HH", stream[at : at + 4])
        if marker == 0xFFD9:
            break
        if marker == 0xFF90:
            tile_part = at
            (size,) = struct.unpack(">I", stream[at + 6 : at + 10])
        elif marker == 0xFF93:  # the tile part's data
            if size == 0:  # it is the last
                break
            at = max(tile_part + size, at + 2)
            continue
        elif marker in (0xFF52, 0xFF53):
            _check_precincts(stream[at + 4 : at + 2 + length], marker, samples)
        elif marker < 0xFF50:
            raise ValueError("no segment where one must be")
        at += 2 + length
    return y1 - y0, x1 - x0, samples


def _check_precincts(style: bytes, marker: int, samples: int) -> None:
    """Of a coding style, of all components (COD, A.6.1) or of one (COC, A.6.2)."""
    if marker == 0xFF53:
        style = style[1 if samples < 257 else 2 :]
    given, sizes = style[0] & 1, style[10 if marker == 0xFF52 else 6 :]
    if given and any(min(size >> 4, size & 15) < _MIN_PRECINCT_EXPONENT for size in sizes):
        raise BadInput(
            "undecodable_pixels",
            "the JPEG 2000 precincts of the DICOM file are smaller than "
            f"{1 << _MIN_PRECINCT_EXPONENT} pixels: convert it with the vendor's tools, or leave "
            "it out",
        )
