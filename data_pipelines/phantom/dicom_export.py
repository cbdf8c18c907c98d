"""Writes phantoms as DICOM files, to try a DICOM reader on. Each header says "synthetic".

    python -m data_pipelines.phantom.dicom_export --config default --patients 20 --out-dir FOLDER

FOLDER then holds the files and `pairs.csv`, which `place prepare folder --csv FOLDER/pairs.csv
--image-column path --report-column report --patient-column patient --study-column study
--split-column split` reads. Every second file is MONOCHROME1, bone black as it is stored: a reader
has to turn it round.
"""

import argparse
import csv
import hashlib
import io
import pathlib
import sys

import numpy as np

from data_pipelines.phantom import VERSION
from data_pipelines.records import BadInput, Key, Study
from data_pipelines.sources.phantom import VIEWS, PhantomSource

_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage - For Presentation
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_BITS = 12  # as a detector counts; grey levels are spread over them
_POSITION = {"PA": "PA", "AP": "AP", "LATERAL": "LL"}
_ORIENTATION = {"PA": ["L", "F"], "AP": ["L", "F"], "LATERAL": ["P", "F"]}
SAYING = "SYNTHETIC phantom, drawn by a program; not a patient and not for clinical use"


def dicom_bytes(key: Key, study: Study, *, inverted: bool = False) -> bytes:
    """One image as the content of a DICOM file. Equal arguments give equal bytes.

    Args:
      inverted: MONOCHROME1, where the largest value is black.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.filewriter import dcmwrite

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _STORAGE
    meta.MediaStorageSOPInstanceUID = _uid("image", key.image_id, VERSION)
    meta.TransferSyntaxUID = _EXPLICIT_LITTLE
    meta.ImplementationClassUID = _uid("implementation")
    header = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    header.SpecificCharacterSet = "ISO_IR 192"
    header.ImageType = ["DERIVED", "SECONDARY", "SYNTHETIC"]
    header.SyntheticData = "YES"
    header.SOPClassUID = _STORAGE
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    header.StudyInstanceUID = _uid("study", key.study_id)
    header.SeriesInstanceUID = _uid("series", key.image_id)
    header.PatientName, header.PatientID = "SYNTHETIC^PHANTOM", key.patient_id
    header.PatientBirthDate = header.PatientSex = header.StudyDate = header.StudyTime = ""
    header.AccessionNumber = header.ReferringPhysicianName = header.StudyID = ""
    header.Manufacturer = "PhantomCXR (synthetic)"
    header.Modality, header.BodyPartExamined = "DX", "CHEST"
    header.SeriesDescription = "SYNTHETIC chest phantom"
    header.ImageComments = SAYING
    header.ViewPosition = _POSITION[study.view]
    header.PatientOrientation = _ORIENTATION[study.view]
    header.PresentationIntentType = "FOR PRESENTATION"
    header.BurnedInAnnotation = "NO"  # of identity: the side markers name nobody
    header.SeriesNumber = header.InstanceNumber = 1
    _add_pixels(header, study.pixels, inverted=inverted)
    buffer = io.BytesIO()
    dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()


def _add_pixels(header, pixels: np.ndarray, *, inverted: bool) -> None:
    top = (1 << _BITS) - 1
    values = np.rint(pixels.astype(np.float64) * (top / 255)).astype(np.uint16)
    if inverted:
        values = top - values
    header.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    header.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PixelRepresentation = 1, 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, _BITS, _BITS - 1
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = 0, 1, "US"
    header.WindowCenter, header.WindowWidth = (top + 1) / 2, top + 1
    header.PixelData = values.astype("<u2").tobytes()


def _uid(*parts: str) -> str:
    """A UID derived from a number of 128 bits (DICOM PS3.5 B.2), the same for equal parts."""
    digest = hashlib.blake2b("/".join(parts).encode(), digest_size=16).digest()
    return f"2.25.{int.from_bytes(digest, 'big')}"


def export(source: PhantomSource, out_dir: pathlib.Path) -> int:
    """Writes every image of a source and a list of them; returns how many there are."""
    out_dir.mkdir(parents=True, exist_ok=True)
    keys = source.keys()
    with (out_dir / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "report", "patient", "study", "split", "view"))
        for index, key in enumerate(keys):
            study = source.load(key)
            path = out_dir / f"{key.image_id}.dcm"
            path.write_bytes(dicom_bytes(key, study, inverted=index % 2 == 1))
            report = f"FINDINGS: {study.findings}\nIMPRESSION: {study.impression}"
            table.writerow((path.name, report, key.patient_id, key.study_id, key.split, study.view))
            if sys.stderr.isatty():
                print(f"\r{index + 1} of {len(keys)}", end="", file=sys.stderr)
    return len(keys)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.phantom.dicom_export",
        description="Writes synthetic phantoms as DICOM files, with a list of their reports.",
    )
    parser.add_argument("--out-dir", type=pathlib.Path, required=True)
    parser.add_argument("--config", choices=("easy", "default", "hard"), default="default")
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side (512)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", choices=VIEWS, default="frontal")
    given = vars(parser.parse_args())
    out_dir = given.pop("out_dir")
    try:
        count = export(PhantomSource(**given), out_dir)
    except (BadInput, OSError) as error:
        print(f"dicom_export: {error}", file=sys.stderr)
        return 1
    print(f"{count} synthetic images and pairs.csv in {out_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
