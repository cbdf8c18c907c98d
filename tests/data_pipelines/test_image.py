"""PNG and JPEG files become grey pixels, or a refusal that says what is in their place."""

import pathlib
import random
import struct
import zlib

import cv2
import numpy as np
import pytest

from data_pipelines.image import (
    decode_png,
    encode_png,
    fit_geometry,
    fit_long_side,
    pad_and_crop,
    read_image,
)
from data_pipelines.records import BadInput

LUMA = np.array([0.299, 0.587, 0.114])
GREY8 = np.random.default_rng(0).integers(0, 256, (13, 21), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (13, 21, 3), np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(samples: np.ndarray, colour_type: int, *, size=None, palette: bytes = b"") -> bytes:
    """A PNG of [h, w] or [h, w, samples], whose header may claim another size (width, height)."""
    height, width = samples.shape[:2]
    big_endian = samples.astype(samples.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big_endian)
    header = struct.pack(">II", *(size or (width, height)))
    header += bytes([8 * samples.dtype.itemsize, colour_type, 0, 0, 0])
    parts = [chunk(b"IHDR", header)] + [chunk(b"PLTE", palette)] * bool(palette)
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def smooth(*channels: float) -> np.ndarray:
    ramp = np.add.outer(np.arange(40), np.arange(60)) * 2.0
    return np.stack([ramp * channel for channel in channels], -1).astype(np.uint8).squeeze()


def refusal(image, **settings) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_image(image, **settings)
    return caught.value


def test_grey_png_is_its_pixels():
    np.testing.assert_array_equal(read_image(png(GREY8, 0)), GREY8)


@pytest.mark.parametrize(
    ("highest", "shift"), [(255, 0), (1023, 2), (4095, 4), (4100, 5), (16383, 6), (65535, 8)]
)
def test_16_bit_png(highest, shift):
    """Detectors write 10, 12 or 14 bits into 16: the upper 8 of those would be nearly black."""
    values = np.random.default_rng(2).integers(0, highest + 1, (13, 21), np.uint16)
    values[0, 0] = highest
    np.testing.assert_array_equal(read_image(png(values, 0)), values >> shift)


def test_transparency_is_dropped():
    alpha = np.random.default_rng(3).integers(0, 256, GREY8.shape, np.uint8)
    grey_alpha, rgb_alpha = np.dstack([GREY8, alpha]), np.dstack([RGB, alpha])
    assert np.abs(read_image(png(grey_alpha, 4)).astype(int) - GREY8).max() <= 1
    np.testing.assert_array_equal(read_image(png(rgb_alpha, 6)), read_image(png(RGB, 2)))


def test_colour_becomes_luma():
    assert np.abs(read_image(png(RGB, 2)) - RGB @ LUMA).max() <= 1
    wide = RGB.astype(np.uint16) * 257
    assert np.abs(read_image(png(wide, 2)) - RGB @ LUMA).max() <= 1


def test_a_palette_becomes_luma():
    table = np.random.default_rng(4).integers(0, 256, (256, 3), np.uint8)
    grey = read_image(png(GREY8, 3, palette=table.tobytes()))
    assert np.abs(grey - (table @ LUMA)[GREY8]).max() <= 1


def test_jpeg():
    grey = smooth(1)
    assert np.abs(read_image(jpeg(grey)).astype(int) - grey).max() <= 3
    colour = smooth(0.2, 0.5, 1.0)  # blue, green, red
    assert np.abs(read_image(jpeg(colour)) - colour @ LUMA[::-1]).max() <= 4


def test_exif_rotation_is_ignored():
    """Orientation 6 is a quarter turn, which a viewer would apply."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    segment = b"Exif\0\0" + tiff
    stream = jpeg(smooth(1))
    turned = stream[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + stream[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (60, 40, 3)
    np.testing.assert_array_equal(read_image(turned), read_image(stream))


def test_the_content_counts_and_not_the_name(tmp_path):
    (tmp_path / "image.jpg").write_bytes(png(GREY8, 0))
    np.testing.assert_array_equal(read_image(tmp_path / "image.jpg"), GREY8)
    np.testing.assert_array_equal(read_image(str(tmp_path / "image.jpg")), GREY8)


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", "empty_file", "0 bytes"),
        (bytes(500), "empty_file", "500 bytes"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "lfs_pointer",
            "git lfs pull",
        ),
        (b"\n <!DOCTYPE html><html>", "html_page", "download"),
        (b"<?xml version='1.0'?>", "html_page", "web page"),
        (b"GIF89a" + bytes(90), "not_an_image", "neither DICOM, PNG nor JPEG"),
        (png(GREY8, 0)[:-20], "truncated_image", "ends too early"),
        (png(GREY8, 0)[:20], "truncated_image", "ends too early"),
        (jpeg(GREY8)[:-90], "truncated_image", "ends too early"),
        (b"\xff\xd8\xff\xd9", "undecodable_image", "no frame"),
        (jpeg(GREY8)[:30] + b"\xff\xd9", "undecodable_image", "no frame"),
        (png(GREY8, 0).replace(b"IHDR", b"IDAT"), "undecodable_image", "no header"),
        (png(GREY8, 5), "undecodable_image", "cannot be decoded"),
        (png(GREY8, 0, size=(0, 7)), "undecodable_image", "0 x 7 pixels"),
    ],
)
def test_reasons(content, reason, says):
    error = refusal(content)
    assert error.reason == reason
    assert says in str(error)


def test_a_file_that_is_not_there_or_not_to_be_read(tmp_path, monkeypatch):
    for missing in (tmp_path / "none.png", tmp_path, tmp_path / "none" / "a.png"):
        error = refusal(missing)
        assert error.reason == "missing_file" and str(missing) in str(error)

    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", forbidden)
    error = refusal(tmp_path / "a.png")
    assert error.reason == "unreadable_file" and "permissions" in str(error)


def enlarged_jpeg() -> bytes:
    stream = bytearray(jpeg(GREY8))
    struct.pack_into(">HH", stream, stream.index(b"\xff\xc0") + 5, 60000, 60000)
    return bytes(stream)


@pytest.mark.parametrize("content", [png(GREY8, 0, size=(60000, 60000)), enlarged_jpeg()])
def test_a_header_of_60000_pixels_is_not_decoded(content, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    error = refusal(content)
    assert error.reason == "too_large"
    assert "60000 x 60000" in str(error) and "100000000" in str(error)


def test_a_chunk_of_gigabytes_is_not_decoded(monkeypatch):
    """Decoders take the memory first, and see then that the file is short."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    content = bytearray(png(GREY8, 0))
    struct.pack_into(">I", content, content.index(b"IDAT") - 4, 0xD6000129)
    assert refusal(bytes(content)).reason == "truncated_image"


@pytest.mark.parametrize("marker", [b"\xff\xd0", b"\xff\x01", b"\xff\xd8", b"\xff\xda"])
def test_what_a_stray_marker_hides_is_not_decoded(marker):
    """To a decoder these have no length: it would find another size in what a length skips."""
    stream = b"\xff\xd8" + marker + b"\0\2" + jpeg(GREY8)[2:]
    assert refusal(stream).reason == "undecodable_image"


def test_the_limit_of_pixels_is_inclusive():
    assert read_image(png(GREY8, 0), max_pixels=GREY8.size).shape == GREY8.shape
    assert refusal(png(GREY8, 0), max_pixels=GREY8.size - 1).reason == "too_large"


@pytest.mark.parametrize(
    "content", [png(GREY8, 0), png(RGB.astype(np.uint16), 2), jpeg(smooth(1)), jpeg(RGB)]
)
def test_damage_is_refused_or_read(content):
    outcomes = set()
    for case in range(100):
        generator = random.Random(case)
        damaged = bytearray(content)
        for _ in range(generator.choice([1, 2, 8])):
            damaged[generator.randrange(3, len(content))] = generator.randrange(256)
        if case % 10 == 0:
            del damaged[generator.randrange(8, len(content)) :]
        try:
            grey = read_image(bytes(damaged), max_pixels=100_000)
            assert grey.ndim == 2 and grey.dtype == np.uint8 and grey.size
        except BadInput as error:
            outcomes.add(error.reason)
    assert "truncated_image" in outcomes


@pytest.mark.parametrize("shape", [(100, 60), (60, 100), (100, 100), (1000, 3)])
@pytest.mark.parametrize("size", [100, 50, 160])
def test_the_long_side_is_fitted_and_the_aspect_kept(shape, size):
    pixels = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    fitted = fit_long_side(pixels, size)
    assert max(fitted.shape) == size and fitted.dtype == np.uint8
    for side, before in zip(fitted.shape, shape, strict=True):
        assert abs(side - max(1, before * fit_geometry(shape, size))) <= 0.5
    assert abs(float(fitted.mean()) - float(pixels.mean())) < 3
    if size == max(shape):
        np.testing.assert_array_equal(fitted, pixels)


def test_shrinking_averages():
    """Each pixel is the mean of its area: fine stripes become grey and not a coarser stripe."""
    pixels = np.random.default_rng(6).integers(0, 256, (48, 64), np.uint8)
    means = pixels.reshape(12, 4, 16, 4).mean((1, 3))
    assert np.abs(fit_long_side(pixels, 16) - means).max() <= 0.51
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.abs(fit_long_side(stripes, 16).astype(float) - 127.5).max() <= 0.5


def padded_and_cropped(pixels: np.ndarray, crop: int, offset) -> np.ndarray:
    """Pixel by pixel."""
    height, width = pixels.shape
    side = max(height, width, crop)
    y0, x0 = offset if offset is not None else ((side - crop) // 2, (side - crop) // 2)
    out = np.zeros((crop, crop), np.uint8)
    for y in range(crop):
        for x in range(crop):
            row, column = y + y0 - (side - height) // 2, x + x0 - (side - width) // 2
            if 0 <= row < height and 0 <= column < width:
                out[y, x] = pixels[row, column]
    return out


@pytest.mark.parametrize("shape", [(9, 9), (9, 4), (5, 10), (3, 2), (1, 12)])
@pytest.mark.parametrize("crop", [8, 9, 7])
def test_pad_and_crop(shape, crop):
    pixels = np.random.default_rng(7).integers(1, 256, shape, np.uint8)
    room = max(*shape, crop) - crop
    for offset in (None, (0, 0), (room, 0), (0, room), (room, room)):
        found = pad_and_crop(pixels, crop, offset)
        np.testing.assert_array_equal(found, padded_and_cropped(pixels, crop, offset))


@pytest.mark.parametrize("filters", range(5))
def test_pngs_of_others_are_read_too(filters):
    """Every kind of rows that a PNG may have, and two kinds in one image, in several chunks."""
    pixels = np.random.default_rng(9).integers(0, 256, (13, 21), np.uint8)
    kinds = [filters] * 6 + [(filters + 1) % 5] * 7
    wide = np.pad(pixels.astype(np.int16), ((1, 0), (1, 0)))
    rows = b""
    for y, kind in enumerate(kinds, 1):
        left, up, corner = wide[y, :-1], wide[y - 1, 1:], wide[y - 1, :-1]
        nearest = np.stack([left, up, corner])
        distance = np.abs(nearest - (left + up - corner))
        paeth = np.take_along_axis(nearest, distance.argmin(0)[None], 0)[0]
        guess = (0 * left, left, up, (left + up) // 2, paeth)[kind]
        rows += bytes([kind]) + ((wide[y, 1:] - guess) & 255).astype(np.uint8).tobytes()
    packed = zlib.compress(rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 21, 13, 8, 0, 0, 0, 0))
    parts = [chunk(b"IDAT", packed[:50]), chunk(b"IDAT", packed[50:]), chunk(b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + header + b"".join(parts)
    np.testing.assert_array_equal(decode_png(content), pixels)


def test_a_damaged_png_is_no_pixels():
    content = encode_png(np.random.default_rng(10).integers(0, 256, (30, 20), np.uint8))
    for at in range(45, len(content) - 20, 29):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        with pytest.raises(ValueError):
            decode_png(bytes(damaged))
    for length in (20, 60, 300, len(content) - 12):
        with pytest.raises(ValueError):
            decode_png(content[:length])


def test_png_is_lossless():
    for shape in [(1, 1), (1, 300), (13, 21)]:
        pixels = np.random.default_rng(8).integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(decode_png(encode_png(pixels)), pixels)
        np.testing.assert_array_equal(read_image(encode_png(pixels)), pixels)
