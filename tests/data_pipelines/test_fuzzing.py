"""No input makes a parser crash, hang or take memory without end: it reads or refuses."""

import os
import pathlib
import subprocess
import sys

import fuzzing
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipelines import annotations, reports
from data_pipelines.dicom import read_dicom
from data_pipelines.image import read_image
from data_pipelines.record_codec import decode_record
from data_pipelines.records import BadInput

STARTS = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", bytes(128) + b"DICM", b"\x08\x00")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def attempt(first: int, count: int) -> dict[str, tuple[int, int]]:
    """Runs every target in a process of its own. Returns how many it read and refused of each."""
    program = pathlib.Path(fuzzing.__file__)
    done = subprocess.run(
        [sys.executable, program, "all", str(first), str(count)],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout} {done.stderr[-3000:]}"
    rows = [line.split() for line in done.stdout.splitlines()]
    return {name: (int(read), int(refused)) for name, read, refused in rows}


def check(found: dict[str, tuple[int, int]], count: int) -> None:
    assert found.keys() == fuzzing.TARGETS.keys()
    for name, (read, refused) in found.items():
        assert read + refused == count
        assert read, f"{name}: nothing was read, so that little was tried"
        assert refused or name in ("report", "mimic_report", "list"), f"{name}: nothing was damaged"


def test_damaged_files():
    check(attempt(0, 150), 150)


@pytest.mark.slow
def test_many_damaged_files():
    check(attempt(1000, 5_000), 5_000)


@QUICK
@given(st.binary(max_size=400), st.sampled_from(STARTS))
def test_any_bytes_are_no_image_or_one(content, start):
    for read in (read_image, read_dicom):
        try:
            grey = read(start + content, max_pixels=10_000)
            assert grey.ndim == 2 and grey.dtype == np.uint8
        except BadInput as error:
            assert "\n" not in str(error)


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_no_record_or_one(content):
    try:
        decode_record(content)
    except ValueError:
        pass


@QUICK
@given(st.text(max_size=300))
def test_any_text_is_a_report(text):
    sections = reports.split_sections(text)
    for section in sections.values():
        for sentence in reports.split_sentences(section):
            assert sentence.strip()
            assert isinstance(reports.fingerprint(reports.normalise_statement(sentence)), int)


@QUICK
@given(st.lists(st.integers(-2, 10**12), max_size=12), st.integers(1, 40), st.integers(1, 40))
def test_any_run_lengths_are_a_mask_or_refused(numbers, height, width):
    try:
        mask = annotations.decode_relative_rle(" ".join(map(str, numbers)), height, width)
    except BadInput as error:
        assert error.reason == "bad_run_lengths"
        return
    assert mask.shape == (height, width)
    if mask.any():
        runs = annotations.encode_relative_rle(mask)
        again = annotations.decode_relative_rle(runs, height, width)
        np.testing.assert_array_equal(again, mask)


@QUICK
@given(st.text(alphabet="012 -.;e9\n", max_size=60))
def test_any_shapes_are_a_mask_or_refused(text):
    try:
        shapes = annotations.read_shapes(text)
        if shapes:
            assert annotations.shapes_to_mask(shapes, 20, 30).shape == (20, 30)
    except BadInput as error:
        assert error.reason in ("bad_shape", "bad_box")
