"""A small Open-i in the layouts that its library distributes it in. All reports are made up."""

import io
import pathlib
import tarfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import dicom_files
import numpy as np


class Report(NamedTuple):
    """One XML file, and its images with their projection ("" for one that the list lacks)."""

    number: int
    findings: str = "The lungs are clear. No XXXX effusion."
    impression: str = "No acute disease."
    images: Mapping[str, str] = {}
    terms: Sequence[str] = ("normal",)

    @property
    def xml(self) -> str:
        """As the library writes it."""
        images = "".join(
            f'<parentImage id="{image}"><panel/></parentImage>' for image in self.images
        )
        terms = "".join(f"<major>{term}</major>" for term in self.terms)
        return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation>
 <uId id="CXR{self.number}"/><pmcId id="{self.number}"/>
 <MedlineCitation><Article><Abstract>
  <AbstractText Label="COMPARISON">None.</AbstractText>
  <AbstractText Label="INDICATION">XXXX-year-old with cough &amp; fever</AbstractText>
  <AbstractText Label="FINDINGS">{self.findings}</AbstractText>
  <AbstractText Label="IMPRESSION">{self.impression}</AbstractText>
 </Abstract></Article></MedlineCitation>
 <MeSH>{terms}<automatic>nothing of ours</automatic></MeSH>
 {images}
</eCitation>
"""


REPORTS = (
    Report(1, images={"CXR1_1_IM-0001-4001": "Frontal", "CXR1_1_IM-0001-3001": "Lateral"}),
    Report(2, findings="", images={"CXR2_IM-0652-1001": "Frontal"}, terms=["Cardiomegaly/mild"]),
    Report(3, findings="", impression=" \n ", images={"CXR3_IM-1384-1001": "Frontal"}),
    Report(4, images={"CXR4_IM-2050-1001": "", "CXR4_IM-2050-2001": "Frontal"}, terms=()),
    Report(5),
    *(Report(n, images={f"CXR{n}_IM-{n:04d}-1001": "Frontal"}) for n in range(10, 20)),
)


def dicom_name(image: str) -> tuple[str, str]:
    """(folder, file) of an image: ("1", "1_IM-0001-4001")."""
    number, rest = image.removeprefix("CXR").split("_", 1)
    return number, f"{number}_{rest.removeprefix(f'{number}_')}"


def write_reports(folder: pathlib.Path, reports: Sequence[Report] = REPORTS) -> None:
    """ecgen-radiology."""
    folder.mkdir(parents=True, exist_ok=True)
    for report in reports:
        (folder / f"{report.number}.xml").write_text(report.xml)


def write_archive(path: pathlib.Path, reports: Sequence[Report] = REPORTS) -> None:
    """NLMCXR_reports.tgz."""
    with tarfile.open(path, "w:gz") as archive:
        for report in reports:
            data = report.xml.encode()
            member = tarfile.TarInfo(f"ecgen-radiology/{report.number}.xml")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_projections(folder: pathlib.Path, reports: Sequence[Report] = REPORTS) -> None:
    """indiana_projections.csv, of the copy on Kaggle."""
    rows = ["uid,filename,projection"]
    for report in reports:
        for image, projection in report.images.items():
            if projection:
                rows.append(f"{report.number},{dicom_name(image)[1]}.dcm.png,{projection}")
    (folder / "indiana_projections.csv").write_text("\n".join(rows) + "\n")


def write_images(folder: pathlib.Path, kind: str, reports: Sequence[Report] = REPORTS) -> None:
    """Images as png, dicom or kaggle."""
    for report in reports:
        for image in report.images:
            pixels = np.add.outer(np.arange(40), np.arange(48)) * 2 + report.number
            pixels = (pixels % 256).astype(np.uint8)
            number, name = dicom_name(image)
            if kind == "dicom":
                path = folder / number / f"{name}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dicom_files.make(pixels))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                name = image if kind == "png" else f"{name}.dcm"
                cv2.imwrite(str(folder / f"{name}.png"), pixels)
