"""DICOM that cannot be used is refused: with a reason, before memory is taken, without a name."""

import io
import logging
import pathlib
import random
import re
import struct
import traceback
import tracemalloc
import warnings

import imagecodecs
import numpy as np
import pytest
from dicom_files import (
    IDENTIFIERS,
    JPEG_BASELINE,
    LOSSLESS,
    SECRETS,
    dataset,
    make,
    picture,
    write,
)
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from data_pipelines import dicom
from data_pipelines.dicom import read_dicom, read_stored_pixels
from data_pipelines.records import BadInput

PIXELS = picture(12)


def baseline() -> bytes:
    return imagecodecs.jpeg8_encode(picture(8), level=90)


def refusal(file: bytes, **settings) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_dicom(file, **settings)
    return caught.value


def without(keyword: str) -> bytes:
    made = dataset(PIXELS, 12)
    delattr(made, keyword)
    made.ensure_file_meta()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "reason", "says"),
    [
        (b"GIF89a" * 50, "not_an_image", "neither preamble nor first element"),
        (without("PixelData"), "no_pixels", "leave it out"),
        (without("Rows"), "no_pixels", "40 x 0 pixels: between 1 and 100000000"),
        (make(PIXELS)[:-700], "truncated_pixels", "copy it again"),
        (make(PIXELS, SamplesPerPixel=4), "undecodable_pixels", "4 samples of 16 bits"),
        (make(PIXELS, BitsAllocated=64), "undecodable_pixels", "1 samples of 64 bits"),
        (make(PIXELS, Rows=0), "no_pixels", "40 x 0 pixels"),
        (
            write(dataset(picture(8)), JPEG_BASELINE, b"no stream\xff\xd9"),
            "undecodable_pixels",
            "1.2.840.10008.1.2.4.50.*convert",
        ),
        (
            write(dataset(picture(8)), JPEG_BASELINE, baseline()[:-200]),
            "truncated_pixels",
            "copy it again",
        ),
        (
            write(dataset(picture(8), Columns=41), JPEG_BASELINE, baseline()),
            "undecodable_pixels",
            "40 x 24 x 1 but its header says 41 x 24 x 1",
        ),
        (make(PIXELS, RescaleSlope="1e308", RescaleIntercept=0), "damaged_dicom", "leave it out"),
        (make(PIXELS, "deflated")[:-300], "damaged_dicom", "copy it again"),
    ],
)
def test_reasons(file, reason, says):
    error = refusal(file)
    assert error.reason == reason
    assert re.search(says, str(error)), str(error)


def test_the_limit_of_pixels_is_inclusive():
    assert read_dicom(make(PIXELS), max_pixels=PIXELS.size).shape == PIXELS.shape
    error = refusal(make(PIXELS), max_pixels=PIXELS.size - 1)
    assert error.reason == "too_large" and "40 x 24 pixels" in str(error) and "959" in str(error)


def test_a_missing_and_a_forbidden_file(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="there is no image file") as caught:
        read_dicom(tmp_path / "none")
    assert caught.value.reason == "missing_file"

    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", forbidden)
    with pytest.raises(BadInput, match="PermissionError.*permissions") as caught:
        read_dicom(tmp_path / "none")
    assert caught.value.reason == "unreadable_file"


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_header_of_60000_pixels_takes_no_memory(kind):
    file = make(PIXELS, kind, 12, Rows=60000, Columns=60000)
    tracemalloc.start()
    try:
        error = refusal(file)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert error.reason == "too_large" and "60000 x 60000" in str(error)


def enlarged(kind: str) -> bytes:
    """A codestream of PIXELS that says that it has 60000 x 60000."""
    stream = bytearray(LOSSLESS[kind][1](PIXELS, 12))
    if "2" in kind:
        struct.pack_into(">II", stream, 8, 60000, 60000)
        struct.pack_into(">II", stream, 24, 60000, 60000)
    else:
        at = stream.index({"jpeg_ls": b"\xff\xf7"}.get(kind, b"\xff\xc3"))
        struct.pack_into(">HH", stream, at + 5, 60000, 60000)
    return bytes(stream)


@pytest.mark.parametrize("kind", [kind for kind, (_, encode) in LOSSLESS.items() if encode])
def test_a_codestream_of_60000_pixels_is_not_decoded(kind, monkeypatch):
    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, name, lambda *_, **__: pytest.fail("it was decoded"))
    error = refusal(write(dataset(PIXELS, 12), LOSSLESS[kind][0], enlarged(kind)))
    assert error.reason == "undecodable_pixels" and "60000 x 60000 x 1" in str(error)


@pytest.mark.parametrize("marker", [b"\xff\xd0", b"\xff\x01", b"\xff\xd8", b"\xff\xff"])
def test_what_a_stray_marker_hides_is_not_decoded(marker):
    """To a decoder these have no length: it would find another size in what a length skips."""
    stream = b"\xff\xd8" + marker + b"\0\2" + baseline()[2:]
    error = refusal(write(dataset(picture(8)), JPEG_BASELINE, stream))
    assert error.reason == "undecodable_pixels" and "ValueError" in str(error)


@pytest.mark.parametrize("place", ["main", "first tile", "second tile"])
def test_tiny_precincts_are_refused(place):
    """500 bytes each: a small file of large pixels would take 54 GiB."""
    syntax, encode = LOSSLESS["jpeg_2000"]
    stream = bytearray(encode(PIXELS, 12))
    at = stream.index(b"\xff\x52")
    length = struct.unpack_from(">H", stream, at + 2)[0]
    levels = stream[at + 9]
    style = bytearray(stream[at : at + 2 + length]) + b"\x11" * (levels + 1)
    struct.pack_into(">H", style, 2, length + levels + 1)
    style[4] |= 1
    start = stream.index(b"\xff\x90")
    if place == "main":
        stream[at : at + 2 + length] = style
    elif place == "first tile":
        stream[start + 6 : start + 10] = bytes(4)  # the tile reaches to the end of the stream
        stream[start + 12 : start + 12] = style
    else:
        tile = b"\xff\x90\0\x0a\0\1" + bytes(4) + b"\0\1" + style + b"\xff\x93"
        stream[-2:] = tile + b"\xff\xd9"
    error = refusal(write(dataset(PIXELS, 12), syntax, bytes(stream)))
    assert error.reason == "undecodable_pixels" and "smaller than 32 pixels" in str(error)


@pytest.mark.parametrize("start", [0, 132])
def test_a_deflate_bomb_is_refused_before_it_is_inflated(start, monkeypatch):
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 4 << 20)
    file = make(np.zeros((4000, 4000), np.uint16), "deflated")[start:]
    assert len(file) < 50_000
    tracemalloc.start()
    try:
        error = refusal(file)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert error.reason == "too_large" and "over 4 MiB" in str(error)
    monkeypatch.undo()
    assert read_stored_pixels(file).shape == (4000, 4000)


def test_a_bomb_does_not_hide_behind_a_wrong_length_of_the_meta_header(monkeypatch):
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 4 << 20)
    file = bytearray(make(np.zeros((2000, 2000), np.uint16), "deflated"))
    struct.pack_into("<I", file, 140, 4000)
    assert refusal(bytes(file)).reason == "too_large"


def names_in(error: BadInput, caplog, capfd, caught) -> list[str]:
    printed = capfd.readouterr()
    said = [str(error), repr(error), caplog.text, printed.out, printed.err]
    said += traceback.format_exception(error)
    said += [str(warning.message) for warning in caught]
    return [secret for secret in SECRETS if any(secret in text for text in said)]


@pytest.mark.parametrize("keyword", ["WindowWidth", "RescaleSlope", "NumberOfFrames"])
@pytest.mark.parametrize("secret", ["PatientName", "PatientID", "AccessionNumber"])
def test_no_identifier_is_spoken(keyword, secret, caplog, capfd):
    """A shifted header: where a number must be, there is an identifier."""
    place = "1234567890123456"
    number = {keyword: "1" + "0" * 11 if keyword == "NumberOfFrames" else place}
    made = dataset(PIXELS, WindowCenter=5, RescaleIntercept=0)
    made.add_new(keyword, "LO", number[keyword])
    file = write(made)
    value = IDENTIFIERS[secret].encode().ljust(len(number[keyword]))[: len(number[keyword])]
    vr = b"IS" if keyword == "NumberOfFrames" else b"DS"
    target = number[keyword].encode()
    at = file.index(target)
    file = file[: at - 4] + vr + file[at - 2 : at] + value + file[at + len(target) :]
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = refusal(file)
    assert error.reason == "damaged_dicom"
    assert not names_in(error, caplog, capfd, caught)


@pytest.mark.parametrize("keyword", ["TransferSyntaxUID", "PhotometricInterpretation"])
def test_no_identifier_is_spoken_where_a_known_term_must_be(keyword, caplog, capfd):
    term = ExplicitVRLittleEndian if keyword == "TransferSyntaxUID" else "MONOCHROME2"
    file = make(PIXELS)
    name = IDENTIFIERS["PatientName"].encode().ljust(len(term))[: len(term)]
    error = refusal(file.replace(term.encode(), name))
    assert error.reason == "undecodable_pixels"
    assert not names_in(error, caplog, capfd, [])


def samples() -> dict[str, bytes]:
    window = {"WindowCenter": 2000, "WindowWidth": 4000, "RescaleSlope": 1, "RescaleIntercept": 0}
    files = {kind: make(PIXELS, kind, 12, **window) for kind in LOSSLESS}
    files["jpeg_baseline"] = write(dataset(picture(8), **window), JPEG_BASELINE, baseline())
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], [0, 9, 99, 999]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    files["lut"] = make(PIXELS, "explicit", 12, ModalityLUTSequence=[table], VOILUTSequence=[table])
    colour = np.repeat(picture(8)[..., None], 3, 2)
    files["colour"] = write(dataset(colour), JPEG_BASELINE, imagecodecs.jpeg8_encode(colour))
    return files


@pytest.mark.parametrize("name", samples())
def test_damage_is_refused_or_read_and_speaks_no_identifier(name, caplog, capfd):
    file = samples()[name]
    caplog.set_level(logging.DEBUG)
    outcomes = set()
    for case in range(60):
        generator = random.Random(f"{name} {case}")
        damaged = bytearray(file)
        # The first half of the cases damages the header, the second the pixels.
        low, high = (132, 700) if case % 2 else (max(len(file) - 1200, 132), len(file))
        for _ in range(generator.choice([1, 2, 8, 30])):
            damaged[generator.randrange(low, min(high, len(file)))] = generator.randrange(256)
        if case % 10 == 0:
            damaged = damaged[: generator.randrange(140, len(file))]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                grey = read_dicom(bytes(damaged))
                assert grey.ndim == 2 and grey.dtype == np.uint8 and grey.size
                outcomes.add("read")
            except BadInput as error:
                assert not names_in(error, caplog, capfd, caught)
                outcomes.add(error.reason)
            assert not caught
    assert "read" in outcomes and len(outcomes) > 1


def test_plugins_of_other_packages_are_not_asked(monkeypatch):
    """GDCM, where it is installed, aborts the interpreter on damaged streams."""
    from pydicom.pixels.decoders import RLELosslessDecoder

    gdcm = {"gdcm": lambda *_: pytest.fail("GDCM was asked")}
    monkeypatch.setattr(RLELosslessDecoder, "_available", gdcm | RLELosslessDecoder._available)
    file = make(PIXELS, "rle", 12)
    np.testing.assert_array_equal(read_stored_pixels(file), PIXELS)
    made = dataset(PIXELS, 12)
    assert refusal(write(made, RLELossless, b"\x09" * 80)).reason == "undecodable_pixels"
