"""A file that is decoded when its size is known gives the pixels that decoding it whole would."""

import struct

import cv2
import dicom_files
import numpy as np
import pytest

from data_pipelines.dicom import Window, read_dicom
from data_pipelines.image import encode_png, fit_long_side, open_image, read_image
from data_pipelines.records import BadInput


def radiograph(height: int, width: int) -> np.ndarray:
    """[h, w] uint8: a smooth body, an edge as sharp as a wire's, and a detector's noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    body = 90 + 60 * np.cos(7 * x) * np.cos(5 * y) + 40 * np.sin(60 * (x + y))
    body[height // 3 : height // 3 + 12] = 230
    noise = np.random.default_rng(0).normal(0, 3, body.shape)
    return np.clip(body + noise, 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@pytest.mark.parametrize(
    "shape",
    [(1000, 800), (1001, 803), (799, 1002), (512, 400), (511, 333), (130, 100)],
)
def test_a_large_jpeg_is_its_average(shape):
    """At a quarter for 1,000 pixels to 100, at a half for 511."""
    content = jpeg(radiograph(*shape))
    direct, whole = fit_long_side(open_image(content), 100), fit_long_side(read_image(content), 100)
    assert direct.shape == whole.shape and direct.dtype == np.uint8
    difference = np.abs(direct.astype(int) - whole)
    # Sides that the fraction does not divide shift an edge by a quarter of a pixel at most.
    exact = all(side % 4 == 0 for side in shape)
    assert difference.mean() < (0.5 if exact else 2)
    assert difference.max() < (8 if exact else 40)


def test_of_colours_too():
    grey = radiograph(800, 1000)
    content = jpeg(np.stack([grey, np.roll(grey, 300, 0), np.roll(grey, 200, 1)], -1))
    direct, whole = fit_long_side(open_image(content), 100), fit_long_side(read_image(content), 100)
    assert np.abs(direct.astype(int) - whole).mean() < 0.5


def test_exif_rotation_is_ignored_at_a_fraction():
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    segment = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    stream = jpeg(radiograph(800, 1000))
    turned = stream[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + stream[2:]
    plain = fit_long_side(open_image(stream), 100)
    np.testing.assert_array_equal(fit_long_side(open_image(turned), 100), plain)


@pytest.mark.parametrize("size", [128, 256, 300])
def test_what_is_not_much_larger_is_decoded_whole(size):
    pixels = radiograph(256, 200)
    for content in (encode_png(pixels), jpeg(pixels), dicom_files.make(pixels)):
        opened, whole = open_image(content), read_image(content)
        assert opened.shape == whole.shape == pixels.shape
        np.testing.assert_array_equal(np.asarray(opened), whole)
        if size > 128:
            np.testing.assert_array_equal(fit_long_side(opened, size), fit_long_side(whole, size))
    png = encode_png(pixels)  # at any size
    np.testing.assert_array_equal(fit_long_side(open_image(png), size), fit_long_side(pixels, size))


def test_the_window_reaches_a_dicom_file():
    values = np.arange(64 * 48, dtype=np.int16).reshape(64, 48)
    content = dicom_files.make(values, WindowCenter=100, WindowWidth=50)
    for window in Window:
        expected = read_dicom(content, window=window)
        np.testing.assert_array_equal(read_image(content, window=window), expected)
        np.testing.assert_array_equal(
            fit_long_side(open_image(content), 64, window=window), expected
        )
    assert open_image(content).shape == (64, 48)


def test_a_file_is_checked_when_it_is_opened_and_when_it_is_decoded(monkeypatch):
    for content, reason in ((b"", "empty_file"), (b"<html>", "html_page")):
        with pytest.raises(BadInput) as caught:
            open_image(content)
        assert caught.value.reason == reason
    huge = dicom_files.dataset(np.zeros((8, 8), np.uint8), Rows=60000, Columns=60000)
    opened = open_image(dicom_files.write(huge))
    for ask in (lambda: opened.shape, opened.decode):
        with pytest.raises(BadInput, match="60000 x 60000"):
            ask()
