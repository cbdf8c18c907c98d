"""Where Open-i's files lie, as the US National Library of Medicine distributes them."""

import gzip
import io
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from etils import epath

from data_pipelines.openi_reports import MAX_REPORT_BYTES, OpeniReport, parse_report
from data_pipelines.records import BadInput
from data_pipelines.sources import lists

IMAGES = ("png", "dicom")
_ARCHIVE = "NLMCXR_reports.tgz"
_FOLDER = "ecgen-radiology"
_RELEASES = {"png": "NLMCXR_png.tgz", "dicom": "NLMCXR_dcm.tgz"}
_MAX_ARCHIVE_BYTES = 64 << 20  # inflated it has thirty million
_NAME = re.compile(r"CXR(\d+)_(?:\1_)?(.+)")
_PROBED = 50  # images, of which one has to be there


def read_reports(raw_dir: os.PathLike | str) -> tuple[list[OpeniReport], Counter]:
    """(reports in the order of their numbers, how many cannot be read by reason).

    Raises:
      BadInput: missing_list, damaged_list, or no_reports where not one can be read.
    """
    reports, faults = {}, Counter()
    for data in _report_files(raw_dir):
        try:
            report = parse_report(data)
        except BadInput as error:
            faults[error.reason] += 1
        else:
            faults["repeated_report"] += report.uid in reports
            reports[report.uid] = report
    if not reports:
        raise BadInput(
            "no_reports",
            f"{os.fspath(raw_dir)!r}: none of the reports can be read ({dict(faults)}): unpack "
            f"{_ARCHIVE} again",
        )
    return sorted(reports.values(), key=lambda report: int(report.uid[3:])), faults


def _report_files(raw_dir: os.PathLike | str) -> Iterator[bytes]:
    """The content of every XML file, unpacked or in the archive."""
    folders = [f"{parent}{_FOLDER}" for parent in ("", "NLMCXR_reports/")]
    folder = lists.find_optional(raw_dir, folders)
    if folder is not None:
        for path in sorted(folder.glob("*.xml")):
            with path.open("rb") as file:
                yield file.read(MAX_REPORT_BYTES + 1)
        return
    archive = lists.find_optional(raw_dir, (_ARCHIVE,))
    if archive is None:
        raise BadInput(
            "missing_list",
            f"{os.fspath(raw_dir)!r} holds neither {_FOLDER} nor {_ARCHIVE}: the archive comes "
            "with Open-i's Indiana University collection (openi.nlm.nih.gov); put it there as it "
            "is, or unpack it",
        )
    yield from _archived(archive)


def _archived(path: epath.Path) -> Iterator[bytes]:
    try:
        # Unpacked whole, which checks its sum: tarfile would take damage for the end.
        with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as file:
            data = file.read(_MAX_ARCHIVE_BYTES + 1)
        if len(data) > _MAX_ARCHIVE_BYTES:
            raise BadInput(
                "too_large", f"{path} holds more than {_MAX_ARCHIVE_BYTES} bytes: is it {_ARCHIVE}?"
            )
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xml"):
                    yield archive.extractfile(member).read(MAX_REPORT_BYTES + 1)
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise BadInput("damaged_list", f"{path} is no whole archive: download it again") from None


class ImageFiles:
    """The images: PNG files in one folder, or DICOM files in a folder a report.

    A DICOM file is named by the number of its report; the PNG of the copy on Kaggle, by that file.

    Args:
      raw_dir: where the user's download lies.
      images: png or dicom.
      names: of the images that are wanted.

    Raises:
      BadInput: missing_images.
    """

    def __init__(self, raw_dir: os.PathLike | str, images: str, names: Sequence[str]):
        root = epath.Path(raw_dir)
        if images == "dicom":
            folders = [root / name for name in ("", "NLMCXR_dcm")]
            self._forms = [(folder, "{number}/{file}.dcm") for folder in folders]
        else:
            copies = ("images/images_normalized", "images_normalized")
            self._forms = [(root / name, "{name}.png") for name in ("", "NLMCXR_png", "images")]
            self._forms += [(root / name, "{file}.dcm.png") for name in copies]
        probed = names[:_PROBED]
        self._forms = [
            form for form in self._forms if any(_path(form, name).exists() for name in probed)
        ]
        if names and not self._forms:
            raise BadInput(
                "missing_images",
                f"{os.fspath(raw_dir)!r} holds no image such as {names[0]} as {images}: unpack "
                f"{_RELEASES[images]} of openi.nlm.nih.gov there",
            )

    def path(self, name: str) -> epath.Path:
        """Of one image."""
        paths = [_path(form, name) for form in self._forms]
        return next((path for path in paths[:-1] if path.exists()), paths[-1])


def _path(form: tuple[epath.Path, str], name: str) -> epath.Path:
    folder, pattern = form
    number, rest = _NAME.fullmatch(name).groups()
    return folder / pattern.format(name=name, number=number, file=f"{number}_{rest}")
