"""Seventeen real DICOM files: what a reference decoder gave of each, this reader gives."""

import csv
import hashlib
import logging

import numpy as np
import pytest

from data_pipelines.dicom import Window, read_dicom, read_stored_pixels
from data_pipelines.image import fit_long_side, open_image
from data_pipelines.records import BadInput

# Files that the reference decoder could not read -> our reason; None where we can.
UNREAD = {
    "d08": None,  # JPEG extended, 12 bits
    "d17": "undecodable_pixels",
    "d25": "truncated_pixels",
    "d29": "not_an_image",
    "d30": "no_pixels",
    "d31": "damaged_dicom",
    "d36": "not_an_image",
}


@pytest.fixture(scope="module")
def files(real_data):
    """Name's prefix -> (path, row of the manifest)."""
    with open(real_data / "dicom" / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 17
    return {row["file"][:3]: (real_data / "dicom" / row["file"], row) for row in rows}


def test_pixels_are_those_of_the_reference_decoder(files):
    decoded = {name for name, (_, row) in files.items() if row["decoded"] == "yes"}
    assert decoded == files.keys() - UNREAD.keys() and len(decoded) == 10
    for name in sorted(decoded):
        path, row = files[name]
        stored = read_stored_pixels(path)
        assert "x".join(map(str, stored.shape)) == row["shape"], name
        assert np.dtype(row["dtype"]).kind == stored.dtype.kind, name
        assert (stored.min(), stored.max()) == (int(row["min"]), int(row["max"])), name
        content = stored.astype(row["dtype"]).tobytes()
        assert hashlib.sha256(content).hexdigest()[:16] == row["sha256"], name


@pytest.mark.parametrize("window", Window)
def test_every_readable_file_becomes_grey_levels(files, window):
    for name, (path, row) in files.items():
        if row["decoded"] != "yes":
            continue
        grey = read_dicom(path, window=window)
        assert grey.dtype == np.uint8 and "x".join(map(str, grey.shape)) == row["shape"], name
        assert int(grey.max()) - int(grey.min()) > 100, name
        opened = open_image(path)
        assert opened.shape == grey.shape
        np.testing.assert_array_equal(
            fit_long_side(opened, 64, window=window), fit_long_side(grey, 64)
        )


def test_the_same_exposure_is_the_same_picture_whatever_its_encoding(files):
    """RG3 as JPEG-LS, as JPEG 2000 and, lossy, as JPEG of 12 bits; an MR slice four ways."""
    lossless, wavelet, lossy = (
        read_dicom(files[name][0]).astype(int) for name in ("d07", "d10", "d08")
    )
    np.testing.assert_array_equal(lossless, wavelet)
    assert np.abs(lossless - lossy).mean() < 2
    slices = [read_stored_pixels(files[name][0]) for name in ("d15", "d18", "d26")]
    for other in slices[1:]:
        np.testing.assert_array_equal(slices[0], other)


def test_monochrome1_is_the_negative(files):
    plain, inverted = (read_dicom(files[name][0], window=Window.FULL) for name in ("d01", "d02"))
    assert np.abs(plain.astype(int) + inverted - 255).max() <= 1


def test_the_rest_is_refused_for_its_reason(files, caplog):
    caplog.set_level(logging.DEBUG)
    for name, reason in UNREAD.items():
        path, row = files[name]
        assert row["decoded"].startswith("no") or not row["decoded"], name
        if reason is None:
            grey = read_dicom(path)
            assert grey.shape == (1760, 1760) and grey.std() > 10
            continue
        with pytest.raises(BadInput) as caught:
            open_image(path).decode()
        assert caught.value.reason == reason, name
        assert "\n" not in str(caught.value)
