"""DICOM files of every encoding that radiographs come in give the pixels that went in."""

import io
import logging

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_files import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    LOSSLESS,
    dataset,
    make,
    picture,
    write,
    write_bare,
)
from pydicom.pixels import convert_color_space

from data_pipelines.dicom import Window, looks_like_dicom, read_dicom, read_stored_pixels
from data_pipelines.image import read_image

LUMA = np.array([0.299, 0.587, 0.114])
RGB = np.zeros((16, 24, 3), np.uint8)
RGB[:8], RGB[8:] = (200, 50, 10), (20, 90, 250)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_syntaxes(kind, bits):
    pixels = picture(bits)
    stored = read_stored_pixels(make(pixels, kind, bits))
    np.testing.assert_array_equal(stored, pixels)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("kind", LOSSLESS)
def test_signed_values_keep_their_sign(kind, bits):
    pixels = picture(bits, signed=True)
    np.testing.assert_array_equal(read_stored_pixels(make(pixels, kind, bits)), pixels)


@pytest.mark.parametrize("declared_signed", [True, False])
def test_the_header_decides_on_the_sign_of_a_jpeg_2000_stream(declared_signed):
    pixels = picture(12, signed=True)
    stream = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0, reversible=True)
    made = dataset(pixels, 12, PixelRepresentation=int(declared_signed))
    expected = pixels if declared_signed else pixels.astype(np.int32) & 0xFFF
    stored = read_stored_pixels(write(made, LOSSLESS["jpeg_2000"][0], stream))
    np.testing.assert_array_equal(stored, expected)


def test_a_last_jpeg_2000_tile_need_not_say_its_length():
    syntax, encode = LOSSLESS["jpeg_2000"]
    pixels = picture(12)
    stream = bytearray(encode(pixels, 12))
    start = stream.index(b"\xff\x90")
    stream[start + 6 : start + 10] = bytes(4)
    stored = read_stored_pixels(write(dataset(pixels, 12), syntax, bytes(stream)))
    np.testing.assert_array_equal(stored, pixels)


def test_jpeg_baseline():
    pixels = picture(8)
    stream = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    stored = read_stored_pixels(write(dataset(pixels), JPEG_BASELINE, stream))
    assert np.abs(stored.astype(int) - pixels).max() < 12


def test_jpeg_extended_of_12_bits():
    pixels = picture(12)
    stream = imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12)
    stored = read_stored_pixels(write(dataset(pixels, 12), JPEG_EXTENDED, stream))
    assert np.abs(stored.astype(int) - pixels).max() < 100
    assert stored.max() > 4000


def test_an_odd_stream_is_padded_and_a_frame_in_fragments_is_joined():
    pixels = picture(12)
    stream = LOSSLESS["jpeg_lossless_sv1"][1](pixels, 12)
    made = dataset(pixels, 12)
    parts = [stream[: len(stream) // 2 & ~1], stream[len(stream) // 2 & ~1 :]]
    made.PixelData = pydicom.encaps.encapsulate([b"".join(parts)], fragments_per_frame=2)
    np.testing.assert_array_equal(
        read_stored_pixels(write(made, LOSSLESS["jpeg_lossless_sv1"][0])), pixels
    )


@pytest.mark.parametrize("kind", ["explicit", "rle", "jpeg_ls"])
def test_colour_becomes_luma(kind):
    grey = read_dicom(make(RGB, kind))
    np.testing.assert_array_equal(grey[[0, -1], 0], np.rint(RGB[[0, -1], 0] @ LUMA))
    assert grey.shape == (16, 24)


def test_native_ybr_becomes_luma():
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    grey = read_dicom(make(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(grey - RGB @ LUMA).max() <= 1


def _unlabelled(stream: bytes) -> bytes:
    """Without JFIF or Adobe segment, components called 1, 2, 3: of either kind of colours."""
    while stream[3] in (0xE0, 0xEE):
        stream = stream[:2] + stream[4 + int.from_bytes(stream[4:6]) :]
    named = bytearray(stream)
    frame, scan = named.index(b"\xff\xc0") + 10, named.index(b"\xff\xda") + 5
    for component in range(3):
        named[frame + 3 * component] = named[scan + 2 * component] = component + 1
    return bytes(named)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("labelled", [True, False])
def test_the_colours_of_jpeg(photometric, labelled):
    space = "RGB" if photometric == "RGB" else "YCBCR"
    stream = imagecodecs.jpeg8_encode(RGB, level=98, colorspace="RGB", outcolorspace=space)
    if not labelled:  # the stream does not say which colours it has: the header does
        stream = _unlabelled(stream)
    made = dataset(RGB, PhotometricInterpretation=photometric)
    stored = read_stored_pixels(write(made, JPEG_BASELINE, stream))
    far = [0, -1]  # from the edge between the colours, which subsampling blurs
    assert np.abs(stored[far].astype(int) - RGB[far]).max() < 4


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_luma(bits):
    indices = np.arange(4, dtype=np.uint8).reshape(2, 2).repeat(4, 0).repeat(4, 1)
    table = (
        np.array([[0, 0, 0], [200, 50, 10], [20, 90, 250], [255, 255, 255]]) * (257, 1)[bits == 8]
    )
    palette = {}
    for name, column in zip(("Red", "Green", "Blue"), table.T, strict=True):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
        palette[f"{name}PaletteColorLookupTableData"] = column.astype(f"<u{bits // 8}").tobytes()
    grey = read_dicom(make(indices, PhotometricInterpretation="PALETTE COLOR", **palette))
    assert grey[::4, ::4].ravel().tolist() == [0, 90, 87, 255]


def test_of_several_frames_the_first_is_taken_with_a_warning(caplog):
    frames = np.stack([picture(12), picture(12)[::-1], picture(12)[:, ::-1]])
    made = dataset(frames[0], 12, NumberOfFrames=3, PixelData=frames.tobytes())
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_stored_pixels(write(made)), frames[0])
    assert "3 frames: the first is taken" in caplog.text
    encode = LOSSLESS["jpeg_ls"][1]
    made.PixelData = pydicom.encaps.encapsulate([encode(frame, 12) for frame in frames])
    np.testing.assert_array_equal(
        read_stored_pixels(write(made, LOSSLESS["jpeg_ls"][0])), frames[0]
    )


@pytest.mark.parametrize("implicit", [True, False])
def test_without_a_meta_header(implicit):
    pixels = picture(12)
    file = write_bare(dataset(pixels, 12), implicit=implicit)
    assert file[:2] == b"\x08\x00" and looks_like_dicom(file)
    np.testing.assert_array_equal(read_stored_pixels(file), pixels)


@pytest.mark.parametrize("kind", ["explicit", "deflated", "jpeg_ls"])
def test_without_a_preamble(kind):
    pixels = picture(12)
    file = make(pixels, kind, 12)[132:]
    assert looks_like_dicom(file)
    np.testing.assert_array_equal(read_stored_pixels(file), pixels)


def test_a_path_and_its_content_read_the_same(tmp_path):
    file = make(picture(12), "jpeg_ls", 12)
    (tmp_path / "image").write_bytes(file)
    expected = read_dicom(file)
    assert expected.dtype == np.uint8
    np.testing.assert_array_equal(read_dicom(tmp_path / "image"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "image"), expected)
    full = read_dicom(file, window=Window.FULL)
    assert full.min() == 0 and full.max() == 255


def test_pydicom_reads_what_these_tests_write():
    read = pydicom.dcmread(io.BytesIO(make(picture(12), "big_endian", 12)))
    np.testing.assert_array_equal(read.pixel_array, picture(12))
