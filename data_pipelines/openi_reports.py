"""A report of Open-i: an XML file -> its sections, its images, and the terms it was indexed by.

Demner-Fushman et al., doi 10.1093/jamia/ocv080. XXXX stands where words were removed.
"""

import dataclasses
import re
from xml.etree import ElementTree

from data_pipelines.records import BadInput

MAX_REPORT_BYTES = 1 << 20  # reports have eight thousand

_UID = re.compile(r"CXR\d{1,6}")
_IMAGE = re.compile(r"CXR\d{1,6}(?:_\d{1,6})?_IM-[\d-]{1,40}")  # makes up a path


@dataclasses.dataclass(frozen=True)
class OpeniReport:
    """One report, of one patient.

    Attributes:
      uid: such as CXR3029.
      findings, impression, indication, comparison: "" where it has none.
      images: such as CXR3029_IM-1404-1001.
      terms: of MeSH and what the indexers added, in lower case: `opacity/lung/base/left`.
    """

    uid: str
    findings: str
    impression: str
    indication: str
    comparison: str
    images: tuple[str, ...]
    terms: tuple[str, ...]


def parse_report(data: bytes) -> OpeniReport:
    """Reads one file.

    Raises:
      BadInput: empty_file, lfs_pointer, large_report, damaged_report or other_report.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise BadInput("empty_file", "the report's file is empty: unpack the archive again")
    if data.startswith(b"version https://git-lfs"):
        raise BadInput("lfs_pointer", "the report is a git-LFS pointer: run `git lfs pull`")
    if len(data) > MAX_REPORT_BYTES:
        raise BadInput(
            "large_report", f"the report has more than {MAX_REPORT_BYTES} bytes: is it one?"
        )
    root = _parse_xml(data)
    uid = root.find("uId")
    name = "" if uid is None else uid.get("id", "")
    if not _UID.fullmatch(name):
        raise BadInput("other_report", f"the report's uId is {name[:40]!r}, not such as CXR3029")
    sections: dict[str, str] = {}
    for element in root.iter("AbstractText"):
        label = element.get("Label", "").strip().lower()
        text = " ".join("".join(element.itertext()).split())
        if text:
            sections[label] = f"{sections[label]}\n\n{text}" if label in sections else text
    images = [element.get("id", "").strip() for element in root.iter("parentImage")]
    for image in images:
        if not _IMAGE.fullmatch(image):
            raise BadInput(
                "other_report", f"{name} has an image {image[:40]!r}, not such as {name}_IM-1-1"
            )
    terms = [" ".join((e.text or "").lower().split()) for e in root.iterfind("MeSH/major")]
    return OpeniReport(
        uid=name,
        findings=sections.get("findings", ""),
        impression=sections.get("impression", ""),
        indication=sections.get("indication", ""),
        comparison=sections.get("comparison", ""),
        images=tuple(dict.fromkeys(images)),
        terms=tuple(filter(None, terms)),
    )


def _parse_xml(data: bytes) -> ElementTree.Element:
    try:
        # As text, so that the file cannot choose another encoding.
        text = data.decode("utf-8-sig")
        # None of these files declares entities, by which a small one could grow without bound.
        if "<!DOCTYPE" not in text:
            return ElementTree.fromstring(text)
        advice = "it has a DOCTYPE, which Open-i's reports have not"
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        advice = f"it is no XML ({type(error).__name__})"
    raise BadInput("damaged_report", f"the report cannot be read, as {advice}: unpack it again")
