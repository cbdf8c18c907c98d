"""Where MIMIC-CXR's files lie, as PhysioNet distributes them, and reading its reports archive."""

import hashlib
import os
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
from etils import epath

from data_pipelines.records import BadInput
from data_pipelines.sources import lists

IMAGES = ("jpg", "dicom")
_SUFFIX = {"jpg": ".jpg", "dicom": ".dcm"}
_PROJECT = {"jpg": "mimic-cxr-jpg", "dicom": "mimic-cxr"}
_RELEASE = {
    "jpg": "MIMIC-CXR-JPG of PhysioNet",
    "dicom": "MIMIC-CXR of PhysioNet",
}
_ARCHIVE = "mimic-cxr-reports.zip"
_MEMBER = re.compile(r"(?:.*/)?p\d{8}/s(\d{8})\.txt")
_MAX_REPORT_BYTES = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s22xHH")
# Patients are dealt to ten folders by the first digits of their number.
GROUPS = tuple(f"p{number}" for number in range(10, 20))
_VERSIONS = ("/2.1.0", "/2.0.0")
# Folders that projects of PhysioNet may lie in.
PARENTS = ("", "physionet.org/files/", "files/")


def _folders(images: str) -> tuple[str, ...]:
    """Where a release may lie below --raw-dir: unpacked there, in its own folder, or as `wget -r`
    leaves it."""
    project = _PROJECT[images]
    return ("", *(f"{p}{project}{version}" for p in PARENTS for version in ("", *_VERSIONS)))


def find_list(raw_dir: os.PathLike | str, name: str) -> epath.Path:
    """One of MIMIC-CXR-JPG's lists, packed or not.

    Raises:
      BadInput: missing_list, that says what it is called and where it comes from.
    """
    folders = (*_folders("jpg"), *_folders("dicom"))
    names = [f"{folder}/{name}{end}".lstrip("/") for folder in folders for end in ("", ".gz")]
    found = lists.find_optional(raw_dir, names)
    if found is None:
        raise BadInput(
            "missing_list",
            f"{os.fspath(raw_dir)!r} holds no {name} or {name}.gz: it comes with "
            f"{_RELEASE['jpg']}, also for the DICOM files; put it there, or give --raw-dir the "
            "folder that holds it",
        )
    return found


class ImageFiles:
    """The `files` folder of a release.

    Attributes:
      groups: those of the ten folders p10 to p19 that are there.

    Raises:
      BadInput: missing_images.
    """

    def __init__(self, raw_dir: os.PathLike | str, images: str):
        self._images = images
        self._root, self.groups = None, frozenset()
        for folder in _folders(images):
            root = epath.Path(raw_dir) / folder / "files"
            self.groups = frozenset(group for group in GROUPS if (root / group).exists())
            if self.groups:
                self._root = root
                return
        raise BadInput(
            "missing_images",
            f"{os.fspath(raw_dir)!r} holds no files/p10 to files/p19: they come with "
            f"{_RELEASE[images]}, unpacked; give --raw-dir the folder that holds `files`, or that "
            f"holds {_PROJECT[images]}",
        )

    def path(self, patient: str, study: str, image: str) -> epath.Path:
        """Of one image."""
        suffix = _SUFFIX[self._images]
        return self._root / patient[:3] / patient / study / f"{image}{suffix}"

    def check(self, some: Sequence[tuple[str, str, str]]) -> None:
        """Raises BadInput: other_images, where not one of these (patient, study, image) is there.

        The other release has the same folders with other files in them.
        """
        if some and not any(self.path(*names).exists() for names in some):
            other = next(images for images in IMAGES if images != self._images)
            raise BadInput(
                "other_images",
                f"{os.fspath(self._root)!r} holds no {_SUFFIX[self._images]} file of the list's "
                f"first images: these come with {_RELEASE[self._images]}; of {_RELEASE[other]} "
                f"take --images {other}",
            )


class ReportFiles:
    """Reports by study: within the archive, which is not unpacked, or unpacked from it.

    Of the archive's table of contents, 228,000 names, only numbers are kept, read once.
    """

    def __init__(self, raw_dir: os.PathLike | str):
        self._lock = threading.Lock()  # some Beam runners have several threads in a process
        self._file = None
        self._raw_dir = raw_dir = epath.Path(raw_dir)
        folders = (*_folders("dicom"), *_folders("jpg"))
        archive = lists.find_optional(raw_dir, [f"{f}/{_ARCHIVE}".lstrip("/") for f in folders])
        if archive is not None:
            self._open(archive)
            return
        unpacked = [f"{f}/mimic-cxr-reports/files".lstrip("/") for f in folders]
        unpacked += [f"{f}/files".lstrip("/") for f in folders]
        self._roots = [raw_dir / name for name in unpacked if (raw_dir / name).exists()]

    @property
    def digest(self) -> str:
        """Of what the archive says it holds; empty for files, of which nothing says that."""
        if self._file is None:
            return ""
        return hashlib.blake2b(self._table.tobytes(), digest_size=3).hexdigest()

    def read(self, patient: str, study: str) -> str:
        """The text of one report.

        Raises:
          BadInput: missing_report, damaged_report, large_report, empty_file or lfs_pointer.
        """
        data = self._packed(study) if self._file else self._unpacked(patient, study)
        if len(data) > _MAX_REPORT_BYTES:
            raise BadInput(
                "large_report", f"the report has more than {_MAX_REPORT_BYTES} bytes: is it one?"
            )
        if not data.strip(b"\0 \t\r\n"):
            raise BadInput("empty_file", "the report's file is empty: unpack the archive again")
        if data.startswith(b"version https://git-lfs"):
            raise BadInput("lfs_pointer", "the report is a git-LFS pointer: run `git lfs pull`")
        return data.decode("utf-8-sig", "replace").replace("\0", " ")

    def check(self, some: Sequence[tuple[str, str]]) -> None:
        """Raises BadInput: missing_list, where not one of these (patient, study) is there."""
        for patient, study in some:
            try:
                self.read(patient, study)
            except BadInput as error:
                if error.reason == "missing_report":
                    continue
            return
        raise BadInput(
            "missing_list",
            f"{os.fspath(self._raw_dir)!r} holds no {_ARCHIVE} with these images' reports, nor the "
            f"reports unpacked: the archive comes with {_RELEASE['dicom']}, not with its JPG "
            "release; put it there as it is",
        )

    def _unpacked(self, patient: str, study: str) -> bytes:
        for root in self._roots:
            try:
                with (root / patient[:3] / patient / f"{study}.txt").open("rb") as file:
                    return file.read(_MAX_REPORT_BYTES + 1)
            except FileNotFoundError:
                continue
        raise _missing(study)

    def _open(self, path: epath.Path) -> None:
        # The file stays open for the life of the process, as the table is of use only with it.
        self._file = path.open("rb")
        try:
            with zipfile.ZipFile(self._file) as archive:
                found = [
                    (int(m[1]), i.header_offset, i.compress_size, i.compress_type, i.CRC)
                    for i in archive.infolist()
                    if (m := _MEMBER.fullmatch(i.filename)) and not i.flag_bits & 1
                ]
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
            raise BadInput(
                "damaged_list", f"{path} is no whole zip archive: download it again"
            ) from None
        if not found:
            raise BadInput(
                "damaged_list",
                f"{path} holds no report such as files/p10/p10000032/s50414267.txt: is it the "
                "archive of MIMIC-CXR?",
            )
        self._table = np.array(sorted(found), np.int64)  # [n, 5]

    def _packed(self, study: str) -> bytes:
        row = int(np.searchsorted(self._table[:, 0], int(study[1:])))
        if row == len(self._table) or self._table[row, 0] != int(study[1:]):
            raise _missing(study)
        _, offset, size, kind, crc = self._table[row].tolist()
        try:
            data = self._inflate(offset, min(size, _MAX_REPORT_BYTES + 1), kind)
        except (OSError, ValueError, struct.error, zlib.error):
            data = None
        if data is None or (len(data) <= _MAX_REPORT_BYTES and zlib.crc32(data) != crc):
            raise BadInput("damaged_report", f"{_ARCHIVE} is damaged at {study}: download it again")
        return data

    def _inflate(self, offset: int, size: int, kind: int) -> bytes | None:
        with self._lock:
            self._file.seek(offset)
            header = self._file.read(30)
            magic, name, extra = _LOCAL_HEADER.unpack(header)
            self._file.seek(offset + len(header) + name + extra)
            packed = self._file.read(size)
        if magic != b"PK\3\4":
            return None
        if kind == zipfile.ZIP_STORED:
            return packed
        if kind != zipfile.ZIP_DEFLATED:
            return None
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _MAX_REPORT_BYTES + 1)


def _missing(study: str) -> BadInput:
    return BadInput(
        "missing_report",
        f"there is no report {study}.txt: put {_ARCHIVE}, which comes with {_RELEASE['dicom']}, "
        "into --raw-dir, or unpack all of it",
    )
