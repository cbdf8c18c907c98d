"""Phantoms as DICOM files: our own reader gives their pixels back, and headers say "synthetic"."""

import subprocess
import sys

import numpy as np
import pydicom
import pytest

from data_pipelines.dicom import Window, read_dicom
from data_pipelines.phantom.dicom_export import dicom_bytes, export
from data_pipelines.sources.folder import FolderSource
from data_pipelines.sources.phantom import PhantomSource

SOURCE = PhantomSource(config="default", patients=12, size=96, views="all")


@pytest.mark.parametrize("inverted", [False, True])
def test_our_reader_gives_the_pixels_back(inverted):
    for key in SOURCE.keys()[:6]:
        study = SOURCE.load(key)
        content = dicom_bytes(key, study, inverted=inverted)
        read = read_dicom(content, window=Window.HEADER)
        assert np.abs(read.astype(int) - study.pixels).max() <= 1
        assert content == dicom_bytes(key, study, inverted=inverted)


def test_the_header_says_synthetic_wherever_a_viewer_may_look():
    key = SOURCE.keys()[0]
    content = dicom_bytes(key, SOURCE.load(key))
    header = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
    assert header.SyntheticData == "YES" and "SYNTHETIC" in header.ImageType
    for name in ("PatientName", "SeriesDescription", "ImageComments", "Manufacturer"):
        assert "synthetic" in str(header[name].value).lower()
    assert header.PatientID == key.patient_id and not header.PatientBirthDate


def test_identifiers_are_legal_and_of_an_image_alone():
    uids = []
    for key in SOURCE.keys():
        header = pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(dicom_bytes(key, SOURCE.load(key))),
            stop_before_pixels=True,
        )
        assert pydicom.uid.UID(header.SOPInstanceUID).is_valid
        uids.append((header.SOPInstanceUID, header.StudyInstanceUID, header.ViewPosition))
    assert len({uid for uid, _, _ in uids}) == len(uids)
    assert {"PA", "AP", "LL"} == {view for _, _, view in uids}


def test_an_exported_folder_is_read_as_anyones_own_pairs(tmp_path):
    assert export(SOURCE, tmp_path) == len(SOURCE.keys())
    folder = FolderSource(
        csv=str(tmp_path / "pairs.csv"),
        image_column="path",
        report_column="report",
        patient_column="patient",
        study_column="study",
        split_column="split",
    )
    keys = folder.keys()
    assert [key.split for key in keys] == [key.split for key in SOURCE.keys()]
    ours, theirs = SOURCE.load(SOURCE.keys()[1]), folder.load(keys[1])
    assert np.abs(np.asarray(theirs.pixels).astype(int) - ours.pixels).max() <= 1
    assert theirs.findings == ours.findings and theirs.impression == ours.impression


def test_the_command_writes_files_and_refuses_what_it_cannot_draw(tmp_path):
    command = [sys.executable, "-m", "data_pipelines.phantom.dicom_export"]
    command += ["--out-dir", str(tmp_path), "--patients", "2", "--size"]
    done = subprocess.run([*command, "64"], capture_output=True, text=True)
    assert done.returncode == 0 and "synthetic images" in done.stdout, done.stderr
    assert len(list(tmp_path.glob("*.dcm"))) >= 2
    bad = subprocess.run([*command, "4096"], capture_output=True, text=True)
    assert bad.returncode == 1 and "64..1024" in bad.stderr and "Traceback" not in bad.stderr
