"""A user's folder through `place prepare`: what it holds of a patient's identity stays in it."""

import csv
import hashlib
import io
import json
import struct
import warnings
import zlib

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from data_pipelines import prepare as prepare_module
from data_pipelines.batches import open_data, read_records
from data_pipelines.records import BadInput
from place_jax import cli

NAME, DATE, UID = "Zebrasmith", "19740312", "1.2.840.99887766.5"
PATIENTS = [f"MRN77{i:02d}441" for i in range(12)]
STUDIES = [f"ACC99{i:03d}177" for i in range(24)]
SECRETS = [NAME, DATE, UID, "ozhospital", "MRN77", "ACC99", "hiv-clinic", *PATIENTS, *STUDIES]
# What is wrong with a row, and what the list of those left out has to call it.
BAD = {
    "missing": "missing_file",
    "cut": "truncated_pixels",
    "broken": "no_pixels",
    "page": "html_page",
    "silent": "empty_report",
    "ragged": "ragged_row",
    "nameless": "no_patient",
}


def pixels(i):
    return (np.arange(40 * 30).reshape(40, 30) * (i + 1) % 251).astype(np.uint8)


def dicom(i):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID, f"{UID}.{i}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientName, dataset.PatientID = f"{NAME}^John", PATIENTS[i // 2]
    dataset.PatientBirthDate = dataset.StudyDate = DATE
    dataset.AccessionNumber, dataset.StudyInstanceUID = STUDIES[i], f"{UID}.{i}"
    dataset.InstitutionName, dataset.StudyDescription = "OzHospital", "hiv-clinic"
    dataset.Rows, dataset.Columns = 40, 30
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 7, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels(i).tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    # A date that is none, at which pydicom would give a warning with its value.
    return file.getvalue().replace(f"DA\x08\0{DATE}".encode(), b"DA\x08\x00MRN77xxx", 1)


def png(i):
    data = cv2.imencode(".png", pixels(i))[1].tobytes()
    text = b"tEXt" + f"Comment\0{NAME} {PATIENTS[i // 2]}".encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return data[:33] + chunk + data[33:]


def jpeg(i):
    data = cv2.imencode(".jpg", pixels(i))[1].tobytes()
    text = f"{NAME} {STUDIES[i]}".encode()
    return data[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + data[2:]


def write_table(folder):
    """24 good rows and one of each fault. Returns the line of each fault."""
    rows, lines = [], {}
    for i in range(24):
        kind, write = [("dcm", dicom), ("png", png), ("jpg", jpeg)][i % 3]
        path = f"{PATIENTS[i // 2]}/{NAME}_{DATE}_{STUDIES[i]}.{kind}"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(write(i))
        report = f"FINDINGS: Heart is normal.\n\nSmall effusion {i}.\nIMPRESSION: Effusion."
        rows.append([path, report, PATIENTS[i // 2], STUDIES[i], NAME])
    broken = dicom(0)[:200] + f"{NAME}{PATIENTS[0]}".encode() * 3
    contents = {"cut": dicom(0)[:-500], "broken": broken, "page": b"<html>" + NAME.encode()}
    for fault in BAD:
        path = f"{PATIENTS[0]}/{fault}_{NAME}.dcm"
        if fault != "missing":
            (folder / path).write_bytes(contents.get(fault, dicom(0)))
        report = "INDICATION: cough" if fault == "silent" else "Clear."
        patient = "" if fault == "nameless" else PATIENTS[0]
        extra = [NAME] if fault == "ragged" else []
        rows.append([path, report, patient, STUDIES[0], NAME, *extra])
    table = folder / f"{NAME}.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text", "patient_mrn", "accession", "name"])
        for number, row in enumerate(rows):
            if number >= 24:
                # A good row's report goes over four lines of the file.
                lines[list(BAD)[number - 24]] = 2 + 24 * 4 + number - 24
            writer.writerow(row)
    return table, lines


def command(table, out, *more):
    names = {"image": "image", "report": "text", "patient": "patient_mrn", "study": "accession"}
    columns = [word for n, c in names.items() for word in (f"--{n}-column", c)]
    more = ["--image-size", "32", "--workers", "2", *more]
    return ["prepare", "folder", "--csv", str(table), *columns, "--out-dir", str(out), *more]


def searchable(path):
    """A file as text, and what lies compressed or in wide letters within it."""
    yield path.name
    yield path.read_bytes().decode("latin-1")
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            yield from (repr(arrays[name].tolist()) for name in arrays.files)


def test_nothing_of_a_patient_is_written_or_said(tmp_path, tmp_path_factory, capfd, monkeypatch):
    table, lines = write_table(tmp_path_factory.mktemp("raw"))
    out = tmp_path / "data"
    monkeypatch.setattr(prepare_module, "_MIN_PER_WORKER", 1)  # workers have a say of their own
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert cli.main(command(table, out, "--max-bad-fraction", "0.5")) == 0
        assert cli.main(["inspect", str(out), "--include-examples"]) == 0
    said = "".join([*capfd.readouterr(), *(str(warning.message) for warning in warned)])
    assert "prepared folder" in said and "left out 7 images" in said and "contact sheet" in said
    files = {p: "\n".join(searchable(p)).lower() for p in out.rglob("*") if p.is_file()}
    kinds = {"manifest.json", "quarantine.jsonl", "dataset_info.json", "contact_sheet.png"}
    assert kinds <= {p.name for p in files}
    assert {".npz", ".txt", ".json"} <= {p.suffix for p in files}
    everything = "\n".join(files.values())
    for secret in SECRETS:
        found = [p.name for p, text in files.items() if secret.lower() in text]
        assert not found, (secret, found)
        assert secret.lower() not in said.lower()
    # Nor a hash that anyone could make of a list of patients.
    for patient in PATIENTS:
        for text in (patient, f"patient:{patient}"):
            for algorithm in ("md5", "sha1", "sha256", "blake2b"):
                assert hashlib.new(algorithm, text.encode()).hexdigest()[:16] not in everything
    data = open_data(out)
    assert_is_what_was_given(data, everything)
    # What was left out is found by its line.
    entries = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    found = {entry["line"]: entry["reason"] for entry in entries}
    assert found == {line: BAD[fault] for fault, line in lines.items()}
    assert data.manifest["quarantined"] == {reason: 1 for reason in BAD.values()}


def assert_is_what_was_given(data, everything):
    records = [r for split in data.splits for r in read_records(data, split)]
    assert len(records) == 24 and len({r["patient_id"] for r in records}) == 12
    assert {r["sentences"][0] for r in records} == {"Heart is normal."}
    assert {r["sentences"][1] for r in records} == {f"Small effusion {i}." for i in range(24)}
    splits = [{r["patient_id"] for r in read_records(data, split)} for split in data.splits]
    assert len(splits) == 3 and sum(map(len, splits)) == 12
    # The search above finds what is there: reports in records, patients' hashes in indices.
    assert "small effusion" in everything and records[0]["patient_id"] in everything


def test_when_all_are_left_out_nothing_is_finished_and_nobody_is_named(tmp_path, capfd):
    (tmp_path / "raw").mkdir()
    table, _ = write_table(tmp_path / "raw")
    for image in table.parent.glob("*/*"):
        image.write_bytes(b"<html>")
    out = tmp_path / "data"
    status = cli.main(command(table, out, "--max-bad-fraction", "1"))
    said = "".join(capfd.readouterr())
    assert not (out / "manifest.json").exists()
    with pytest.raises(BadInput, match="not a finished prepared folder"):
        open_data(out)
    assert not [s for s in SECRETS if s.lower() in said.lower()]
    errors = [line for line in said.splitlines() if line.startswith("place prepare:")]
    assert status == 1 and len(errors) == 1
    assert "31 of 31 images cannot be used (html_page 28" in errors[0]
