"""The images that a user names: files, folders, and CSV files with a column of paths."""

import csv
import os
import pathlib
from collections.abc import Sequence

from data_pipelines import dicom
from data_pipelines.records import BadInput

_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".dcm", ".dicom"))
_COLUMNS = ("image", "path", "filename", "file", "dicom_path")


def find_images(
    inputs: Sequence[str | os.PathLike], *, column: str | None = None
) -> list[pathlib.Path]:
    """Paths of images, in the order given; those of a folder sorted by path.

    Args:
      inputs: an image, a folder (searched to its depths for PNG, JPEG and DICOM files, also those
        without an extension that begin as DICOM does), or a CSV with a header line, whose paths
        start at its folder.
      column: of the CSVs; None takes the first of image, path, filename, file that is there.

    Raises:
      BadInput: missing_file, no_image, missing_column, or a CSV that is not one.
    """
    found: list[pathlib.Path] = []
    for name in inputs:
        path = pathlib.Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and _is_image(p))
            if not inside:
                raise BadInput(
                    "no_image", f"{path} holds no PNG, JPEG or DICOM file: give another folder"
                )
            found += inside
        elif path.suffix.lower() == ".csv":
            found += [path.parent / row for row in read_column(path, column)]
        else:
            found.append(path)
    if not found:
        raise BadInput("no_image", "no image was given: give files, a folder or a CSV of paths")
    return found


def read_column(path: pathlib.Path, column: str | None) -> list[str]:
    """The cells of one column of a CSV, none of them empty.

    Raises:
      BadInput: see `find_images`.
    """
    rows = read_rows(path)
    names = list(rows[0])
    wanted = [column] if column else [name for name in _COLUMNS if name in names]
    if not wanted or wanted[0] not in names:
        raise BadInput(
            "missing_column",
            f"{path} has no column {column or ' or '.join(_COLUMNS)}: name one of "
            f"{', '.join(map(repr, names))} with --image-column",
        )
    cells = [(line, row[wanted[0]].strip()) for line, row in enumerate(rows, start=2)]
    for line, cell in cells:
        if not cell:
            raise BadInput("no_image", f"{path} line {line} names no image in {wanted[0]!r}")
    return [cell for _, cell in cells]


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a CSV by the names of its header; a cell that is missing is empty.

    Raises:
      BadInput: missing_file, bad_csv, no_rows.
    """
    if not path.is_file():
        raise BadInput("missing_file", f"{path} is not a file: give a CSV with a header line")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restval="", strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput("bad_csv", f"{path} is no CSV of UTF-8 text: {error}") from None
    if not rows:
        raise BadInput("no_rows", f"{path} has no rows: add one an image")
    for line, row in enumerate(rows, start=2):
        if None in row:
            raise BadInput("bad_csv", f"{path} row {line} has more cells than the header has names")
    return rows


def _is_image(path: pathlib.Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    if path.suffix and not path.suffix[1:].isdigit():  # a UID ends in .NUMBER
        return False
    with path.open("rb") as file:
        return dicom.looks_like_dicom(file.read(1024))
