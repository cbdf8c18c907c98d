"""A small MIMIC-CXR in the layouts that PhysioNet distributes it in. All reports are made up."""

import csv
import gzip
import io
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import dicom_files
import numpy as np

from data_pipelines.records import CHEXPERT_LABELS

RULE = " " + "_" * 78
BANNER = " " * 33 + "FINAL REPORT"
REPORTS = {
    "full": f"{BANNER}\n EXAMINATION:  CHEST (PA AND LAT)\n\n INDICATION:  ___ year old man.\n\n"
    " FINDINGS: \n \n The heart is 12.5 cm wide, seen by Dr. ___.  No\n effusion.\n\n"
    " IMPRESSION: \n \n 1. No pneumonia.\n 2. Mild edema.\n",
    "wet": f"WET READ: ___ ___ ___ 9:06 PM\n Large pneumothorax.\n{RULE}\n{BANNER}\n"
    " FINDINGS:  Lungs are clear.\n",
    "addendum": f"{BANNER}\n IMPRESSION:  Small left effusion.\n{RULE}\n"
    "    ADDENDUM  Dr. ___ knows.\n",
    "bare": f"{BANNER}\n INDICATION:  Cough.\n\n The lungs are clear.  No edema.\n",
    "short": f"{BANNER}\n IMPRESSION:  Unchanged.\n",
    "none": f"{BANNER}\n EXAMINATION:  CHEST\n\n INDICATION:  Fever of ___.\n",
}


class Image(NamedTuple):
    """One row of the lists."""

    image: str
    study: int
    patient: int
    split: str = "train"
    view: str = "PA"
    report: str = "full"
    labels: Mapping[str, str] = {}


def name(number: int) -> str:
    """A dicom_id."""
    return "-".join(f"{number:08x}" for _ in range(5))


IMAGES = (
    Image(name(1), 50000001, 10000001, labels={"Edema": "1.0", "Pneumonia": "0.0"}),
    Image(name(2), 50000001, 10000001, view="LATERAL", labels={"Edema": "1.0", "Pneumonia": "0.0"}),
    Image(name(3), 50000002, 10000001, view="AP", report="wet", labels={"Pneumothorax": "-1.0"}),
    Image(name(4), 51000003, 11000002, report="bare"),
    Image(name(5), 51000004, 11000002, report="short"),
    Image(name(6), 51000005, 11000003, report="none"),
    Image(name(7), 51000006, 11000003, view=""),
    Image(name(8), 51000007, 11000004, view="LL"),
    Image(name(9), 52000008, 12000005, "validate", report="addendum"),
    Image(name(10), 52000009, 12000006, "test"),
    Image(name(11), 52000010, 12000006, "test", view="AP"),
)


def write_lists(folder: pathlib.Path, images: Sequence[Image] = IMAGES, *, packed: bool = True):
    """The four lists of MIMIC-CXR-JPG, as .csv.gz or unpacked."""
    split = [["dicom_id", "study_id", "subject_id", "split"]]
    metadata = [["dicom_id", "subject_id", "study_id", "Rows", "ViewPosition"]]
    names = sorted(CHEXPERT_LABELS)  # as the owner orders them
    labels = {}
    for row in images:
        split.append([row.image, row.study, row.patient, row.split])
        metadata.append([row.image, row.patient, row.study, 40, row.view])
        labels[row.study] = [row.patient, row.study, *(row.labels.get(n, "") for n in names)]
    table = [["subject_id", "study_id", *names], *labels.values()]
    files = {"split": split, "metadata": metadata, "chexpert": table, "negbio": table}
    for kind, rows in files.items():
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        path = folder / f"mimic-cxr-2.0.0-{kind}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.getvalue().encode()))
        else:
            path.write_text(text.getvalue())


def write_images(folder: pathlib.Path, images: Sequence[Image] = IMAGES, kind: str = "jpg"):
    """files/p10/p10000001/s50000001/<dicom_id>.jpg or .dcm."""
    for i, row in enumerate(images):
        path = _study(folder, row) / f"{row.image}.{'jpg' if kind == 'jpg' else 'dcm'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = ((np.add.outer(np.arange(40), np.arange(48)) * 2 + i) % 256).astype(np.uint8)
        if kind == "jpg":
            cv2.imwrite(str(path), pixels)
        else:
            path.write_bytes(dicom_files.make(pixels, PatientID=str(row.patient)))


def reports(images: Sequence[Image] = IMAGES) -> dict[str, str]:
    """Path within the archive -> text, one a study."""
    texts = {}
    for row in images:
        path = f"files/p{row.patient // 1_000_000}/p{row.patient}/s{row.study}.txt"
        texts[path] = REPORTS.get(row.report, row.report)
    return texts


def write_archive(path: pathlib.Path, images: Sequence[Image] = IMAGES, root: str = "") -> None:
    """mimic-cxr-reports.zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{root}files/", "")
        for member, text in reports(images).items():
            archive.writestr(f"{root}{member}", text)


def write_reports(folder: pathlib.Path, images: Sequence[Image] = IMAGES) -> None:
    """The archive's content, unpacked."""
    for member, text in reports(images).items():
        path = folder / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_jpg_release(folder: pathlib.Path, images: Sequence[Image] = IMAGES) -> None:
    """MIMIC-CXR-JPG, with the reports archive beside it as it is."""
    write_lists(folder, images)
    write_images(folder, images)
    write_archive(folder / "mimic-cxr-reports.zip", images)


def _study(folder: pathlib.Path, row: Image) -> pathlib.Path:
    patient = f"p{row.patient}"
    return folder / "files" / patient[:3] / patient / f"s{row.study}"
